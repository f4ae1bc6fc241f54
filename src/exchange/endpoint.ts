/**
 * @param path a path below the base URL, or a whole URL
 * @param baseUrl keeps its own path: a proxy may serve the exchange below one
 */
export function endpointUrl(path: string, baseUrl: string): string {
  return new URL(path.startsWith("/") ? baseUrl.replace(/\/+$/, "") + path : path).href;
}
