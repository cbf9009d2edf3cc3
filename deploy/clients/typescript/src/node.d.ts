// All that is used of Node beyond what the web platform has, so that building
// needs no package of types. Node 18 has no global crypto yet.
declare module "node:crypto" {
  export function randomUUID(): string;
}
