//! What test binaries print about their tests, as cargo passes it on.

/// What came of a run of tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many passed.
    pub(super) passed: usize,
    /// Those that failed.
    pub(super) failed: Vec<String>,
    /// How many binaries began with their tests and never said what came of them.
    pub(super) crashed: usize,
}

impl Outcome {
    /// Reads it from the output of any number of test binaries. What failed tests printed themselves is in
    /// there as well, before the list of their names.
    pub(super) fn of(output: &str) -> Self {
        let mut outcome = Self::default();
        let mut listed = Vec::new();
        for line in output.lines() {
            if line == "failures:" {
                listed.clear();
            } else if let Some(name) = line.strip_prefix("    ") {
                listed.push(name.to_owned());
            } else if is_beginning(line) {
                outcome.crashed += 1;
            } else if let Some(result) = line.strip_prefix("test result: ") {
                let passed = result.split_once(" passed").and_then(|(before, _)| {
                    before.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok())
                });
                outcome.crashed = outcome.crashed.saturating_sub(1);
                outcome.passed += passed.unwrap_or_default();
                outcome.failed.append(&mut listed);
            }
        }
        outcome
    }
}

/// Whether that is the first line of a test binary: `running 7 tests`.
fn is_beginning(line: &str) -> bool {
    let number = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_binaries_are_read_and_nothing_that_tests_print() {
        let output = "
running 2 tests
test one ... ok
test a::two ... FAILED

failures:

---- a::two stdout ----
    four blanks before it
failures:
    and a trap

failures:
    a::two

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s


running 1 test
test three ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let outcome = Outcome::of(output);
        assert_eq!(outcome, Outcome { passed: 2, failed: vec!["a::two".into()], crashed: 0 });
    }

    #[test]
    fn colours_do_not_matter() {
        let output =
            "failures:\n    one\n\ntest result: \x1b[31mFAILED\x1b[m. 7 passed; 1 failed\n";
        let outcome = Outcome::of(output);
        assert_eq!(outcome, Outcome { passed: 7, failed: vec!["one".into()], crashed: 0 });
    }

    #[test]
    fn binary_that_ends_without_a_result_is_told_from_one_that_failed() {
        let output = "running 1 test\ntest one ... FAILED\n\nfailures:\n    one\n\n\
                      test result: FAILED. 0 passed; 1 failed\n\nrunning 2 tests\ntest two ... ok\n";
        let outcome = Outcome::of(output);
        assert_eq!(outcome, Outcome { passed: 0, failed: vec!["one".into()], crashed: 1 });
    }

    #[test]
    fn output_without_tests_has_no_outcome() {
        assert_eq!(Outcome::of("error: could not compile"), Outcome::default());
    }
}
