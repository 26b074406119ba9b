//! Statistics of small samples that something disturbs now and then: a benchmark's rounds.
//!
//! Everything is built on medians and ranks, which a disturbed round moves little, and nothing
//! assumes a distribution. What is random is seeded: the same sample gives the same answer. Values
//! that are not finite are left out. What figures mean is left to [`results`](crate::results).

mod interval;
mod median;
mod outlier;
mod random;
mod sign;
mod trend;

pub use interval::{Interval, median_interval, ratio_interval};
pub use median::{median, median_absolute_deviation};
pub use outlier::outliers;
#[cfg(test)]
pub(crate) use random::Random;
pub use sign::sign_probability;
pub use trend::{Trend, trend};
