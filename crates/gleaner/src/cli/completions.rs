//! `gleaner completions`

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory;

use super::args::Cli;
use super::output::Exit;

pub fn run(shell: clap_complete::Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gleaner", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
