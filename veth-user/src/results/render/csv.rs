//! Results as CSV: what was measured, round by round, for other programs.

use super::super::{Cell, Results, Round, Unit, Workload};

/// Stays as it is; what is new comes at the end.
const HEADER: [&str; 11] = [
    "workload",
    "path",
    "ports",
    "round",
    "value",
    "value_unit",
    "operations",
    "bytes",
    "lost",
    "elapsed_ns",
    "cpu_ns",
];

/// One line for each round of each cell, below a header. What is not known is empty.
pub fn csv(results: &Results) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut write = |record: &[String; 11]| {
        writer.write_record(record).expect("memory takes everything, and all records are as long");
    };
    write(&HEADER.map(str::to_owned));
    for cell in &results.cells {
        for round in &cell.rounds {
            write(&record(cell, round));
        }
    }
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("made of strings")
}

fn record(cell: &Cell, round: &Round) -> [String; 11] {
    let Round { round, value, operations, bytes, lost, elapsed_ns, cpu_ns } = *round;
    let known = |number: Option<String>| number.unwrap_or_default();
    [
        cell.workload.to_string(),
        cell.path.to_string(),
        known(cell.ports.map(|ports| ports.to_string())),
        round.to_string(),
        value.to_string(),
        unit(cell.workload).to_owned(),
        operations.to_string(),
        bytes.to_string(),
        lost.to_string(),
        elapsed_ns.to_string(),
        known(cpu_ns.map(|cpu_ns| cpu_ns.to_string())),
    ]
}

/// The unit of a figure that has no prefix.
const fn unit(workload: Workload) -> &'static str {
    match workload.unit() {
        Unit::Nanoseconds => "ns",
        unit => unit.symbol(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn csv_of_a_run() {
        insta::assert_snapshot!(csv(&fixture::small().0));
    }

    #[test]
    fn rounds_read_back_as_they_were() {
        let (results, _) = fixture::rich();
        let text = csv(&results);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let mut records = reader.records().map(|record| record.expect("is CSV"));
        for cell in &results.cells {
            for round in &cell.rounds {
                let read = records.next().expect("one line for each round");
                assert_eq!(read[0].parse(), Ok(cell.workload));
                assert_eq!(read[1].parse(), Ok(cell.path));
                assert_eq!(read[2].parse().ok(), cell.ports);
                assert_eq!(read[4].parse(), Ok(round.value));
                assert_eq!(read[10].parse().ok(), round.cpu_ns);
            }
        }
        assert!(records.next().is_none());
    }

    #[test]
    fn without_rounds_there_is_a_header() {
        assert_eq!(csv(&fixture::empty().0), HEADER.join(",") + "\n");
    }
}
