// shipit needs the first setting; the others are this example's own.
const config = {
  output: 'standalone',
  // Put into the code by the build, so that a running server tells which build it is of.
  env: { APP_VERSION: process.env.APP_VERSION || 'first' },
};

export default config;
