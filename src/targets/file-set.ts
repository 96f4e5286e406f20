/** One file of an object. `private`: 0600 instead of 0640. */
export type RenderedFile = {
  /** Below the generation: `bindings/<name>/<key>`. */
  path: string
  private: boolean
  data: string
}

/** The files of an object, made when asked for. May hold secrets, so it prints as nothing. */
export class FileSet {
  readonly #make: () => readonly RenderedFile[]

  constructor(make: () => readonly RenderedFile[]) {
    this.#make = make
  }

  files(): readonly RenderedFile[] {
    return this.#make()
  }

  toJSON(): string {
    return '[files]'
  }
}
