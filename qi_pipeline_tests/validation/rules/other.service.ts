// What R13.ts exports again; in order throughout.
export const theta = 4;
