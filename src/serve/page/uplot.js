// For tools that check the page. In the browser this address is uPlot itself: see page_assets.ts.
export { default } from "uplot";
