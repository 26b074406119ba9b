//! How far a benchmark is: a bar on a terminal, nothing elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::bench::Event;

/// The bar.
pub(super) struct Progress {
    bar: ProgressBar,
    /// When the first measurement began.
    began: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: None }
    }

    /// Shows what is going on.
    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Building { done, all, path } => {
                self.count(*done, *all);
                self.bar.set_message(format!("building {path}"));
            }
            Event::Measuring { done, all, cell } => {
                let began = *self.began.get_or_insert_with(Instant::now);
                self.count(*done, *all);
                self.bar.set_prefix(left(began.elapsed(), *done, *all));
                self.bar.set_message(cell.to_string());
            }
            Event::Round(_) => {}
        }
    }

    fn count(&self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How much time is left if the rest goes like what is done.
fn left(elapsed: Duration, done: usize, all: usize) -> String {
    if done == 0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() / done as f64 * all.saturating_sub(done) as f64;
    let seconds = Duration::from_secs_f64(seconds).as_secs();
    format!("{}:{:02} left", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_in_proportion() {
        assert_eq!(left(Duration::from_secs(10), 0, 5), "");
        assert_eq!(left(Duration::from_secs(10), 1, 5), "0:40 left");
        assert_eq!(left(Duration::from_secs(100), 1, 2), "1:40 left");
        assert_eq!(left(Duration::from_secs(1), 5, 5), "0:00 left");
    }
}
