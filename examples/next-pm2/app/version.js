// The word that tells two builds of this app apart.
export const version = process.env.APP_VERSION;
