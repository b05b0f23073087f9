//! x
use pbkv::client::ClientOptions;
use std::process::ExitCode;
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {}
pub async fn run(_options: ClientOptions, _args: CheckArgs) -> ExitCode {
    ExitCode::SUCCESS
}
