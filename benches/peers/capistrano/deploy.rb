# Everything that differs between runs comes in as a variable.
set :application, "bench"
set :repo_url, ENV.fetch("REPOSITORY")
set :branch, "main"
set :deploy_to, ENV.fetch("DEPLOY_TO")
set :keep_releases, ENV.fetch("KEEP").to_i
set :ssh_options, {
  keys: [ENV.fetch("IDENTITY")], keys_only: true, forward_agent: false,
  user_known_hosts_file: ENV.fetch("KNOWN_HOSTS"), verify_host_key: :always
}
server "127.0.0.1", user: ENV.fetch("ACCOUNT"), port: ENV.fetch("PORT").to_i, roles: %w[app]
