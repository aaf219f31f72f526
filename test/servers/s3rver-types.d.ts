/** What the tests use of s3rver, which brings no types. */
declare module "s3rver" {
  interface Store {
    getResourcePath(bucket: string, key: string | undefined, resource: string): string
  }
  class S3rver {
    constructor(options: {
      port: number
      address: string
      silent: boolean
      directory: string
      vhostBuckets: boolean
      configureBuckets: ReadonlyArray<{ name: string }>
    })
    store: Store
    run(): Promise<{ port: number }>
    close(): Promise<void>
  }
  export default S3rver
}
