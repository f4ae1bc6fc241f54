/** JSON that may be changed at will: text of values and keys stays as it was written, keys may come twice. */
export type Tree = string | Tree[] | { fields: [key: string, value: Tree][] };

export function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(treeOf);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return { fields: Object.entries(value).map(([key, of]) => [JSON.stringify(key), treeOf(of)]) };
}

export function textOf(tree: Tree): string {
  if (typeof tree === "string") return tree;
  if (Array.isArray(tree)) return `[${tree.map(textOf).join(",")}]`;
  return `{${tree.fields.map(([key, value]) => `${key}:${textOf(value)}`).join(",")}}`;
}

export function copyOf(tree: Tree): Tree {
  if (typeof tree === "string") return tree;
  if (Array.isArray(tree)) return tree.map(copyOf);
  return { fields: tree.fields.map(([key, value]) => [key, copyOf(value)]) };
}

/** The value of a path of keys; undefined where there is none. */
export function at(tree: Tree | undefined, path: readonly string[]): Tree | undefined {
  return path.reduce<Tree | undefined>(
    (node, key) =>
      node !== undefined && typeof node !== "string" && "fields" in node
        ? node.fields.find(([name]) => name === JSON.stringify(key))?.[1]
        : undefined,
    tree,
  );
}

/** Sets the value of the last key of a path, where the objects on the way are there. */
export function put(tree: Tree, path: readonly string[], value: Tree): void {
  const parent = at(tree, path.slice(0, -1));
  if (parent === undefined || typeof parent === "string" || !("fields" in parent)) return;
  const name = JSON.stringify(path.at(-1) ?? "");
  const entry = parent.fields.find(([key]) => key === name);
  if (entry === undefined) parent.fields.push([name, value]);
  else entry[1] = value;
}
