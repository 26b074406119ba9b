//! The object that the build embedded.

use aya::include_bytes_aligned;

/// The tc object, as an ELF file.
pub static TC_OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/veth-tc"));

/// The XDP object, as an ELF file.
pub static XDP_OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/veth-xdp"));

/// The object of the benchmark, as an ELF file.
pub static BENCH_OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/veth-bench"));

/// Release of the embedded object, as [`Meta::release`](veth_common::Meta) has it.
pub const RELEASE: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// `release` as people write it.
pub fn release_text(release: u32) -> String {
    format!("{}.{}.{}", release >> 16, release >> 8 & 0xff, release & 0xff)
}

const fn number(text: &str) -> u32 {
    let mut value = 0;
    let mut rest = text.as_bytes();
    while let [digit, tail @ ..] = rest {
        value = value * 10 + (*digit - b'0') as u32;
        rest = tail;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_that_of_the_package() {
        assert_eq!(release_text(RELEASE), env!("CARGO_PKG_VERSION"));
    }
}
