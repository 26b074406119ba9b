//! The `veth` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    veth_user::cli::main()
}
