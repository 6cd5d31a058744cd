//! Stub.
/// Stub.
#[derive(Debug, clap::Args)]
pub struct RecountArgs {}
/// Stub.
pub async fn run(_args: RecountArgs) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("later")
}
