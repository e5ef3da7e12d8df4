// How PM2 runs the app. shipit reads it in each release and makes its paths absolute; no cwd and no watch here.
module.exports = {
  apps: [
    {
      name: @NAME@,
      script: @SCRIPT@,
      exec_mode: 'cluster',
      instances: @INSTANCES@,
      // How long requests may take to end, and how long a start may take until it listens; milliseconds.
      kill_timeout: 8000,
      listen_timeout: 8000,
      env: { NODE_ENV: 'production', PORT: '@PORT@'@ENV@ },
    },
  ],
};
