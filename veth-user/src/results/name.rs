//! What a cell is called: in messages, and where the cells of two runs are matched.

use std::fmt;

use serde::Serialize;

use super::{Cell, Path, Workload};

/// Which cell: of one run, no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CellName {
    /// The workload.
    pub workload: Workload,
    /// The path.
    pub path: Path,
    /// Ports of the fabric, when that is what is varied.
    pub ports: Option<u32>,
}

impl Cell {
    /// Which cell it is.
    pub const fn name(&self) -> CellName {
        CellName { workload: self.workload, path: self.path, ports: self.ports }
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.workload, self.path)?;
        match self.ports {
            Some(ports) => write!(f, " ({ports} ports)"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_says_how_many_ports_where_that_is_varied() {
        let path = "tc#2".parse().expect("a path");
        let name = CellName { workload: Workload::TcpRr, path, ports: None };
        assert_eq!(name.to_string(), "tcp_rr tc#2");
        assert_eq!(CellName { ports: Some(100), ..name }.to_string(), "tcp_rr tc#2 (100 ports)");
    }
}
