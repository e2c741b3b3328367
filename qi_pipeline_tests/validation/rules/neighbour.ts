// What R13.ts imports; in order throughout.
export const alpha = 1;
export const beta = 2;
export const epsilon = 3;
export interface Gamma { readonly gamma: string }
export type Zeta = Gamma;
