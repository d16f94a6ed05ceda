//! The service under simulation: the `sim` command with the ledger, the store that ships, and their planted bugs.

use std::process::ExitCode;

fn main() -> ExitCode {
    let command = sim::Command::new(node_sim::Ledger::new())
        .name("node-sim")
        .about("Simulates clusters of the service's ledger, and the store that its servers use, with every kind of fault.")
        .store(node_sim::ShippingStore);
    #[cfg(feature = "planted-bugs")]
    let command = command.bugs(node::planted::BANK);
    command.main()
}
