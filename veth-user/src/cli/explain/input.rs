//! Frames and addresses as people type them.

use veth_common::Mac;

use super::LONGEST;

/// The bytes of a frame, as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub(super) Vec<u8>);

/// A frame in hexadecimal.
pub(in super::super) fn hex(text: &str) -> Result<Frame, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|it| !it.is_whitespace() && *it != ':')
        .map(|it| it.to_digit(16).ok_or_else(|| format!("{it:?} is no hexadecimal digit")))
        .collect::<Result<_, _>>()?;
    if digits.is_empty() {
        return Err("there is no byte".into());
    }
    let (bytes, []) = digits.as_chunks::<2>() else {
        return Err("has half a byte: the number of digits is odd".into());
    };
    if bytes.len() > LONGEST {
        return Err(format!("a frame has at most {LONGEST} bytes"));
    }
    let byte =
        |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).expect("two digits are a byte");
    Ok(Frame(bytes.iter().map(byte).collect()))
}

/// A MAC address with its colons.
pub(in super::super) fn mac(text: &str) -> Result<Mac, String> {
    let byte = |part: &str| {
        let is_byte = part.len() == 2 && part.bytes().all(|it| it.is_ascii_hexdigit());
        u8::from_str_radix(part, 16).ok().filter(|_| is_byte)
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(Mac)
        .ok_or_else(|| "must be a MAC address, as in 02:00:00:00:00:01".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_with_and_without_separators() {
        let bytes = Frame(vec![0xff, 0x01, 0xab]);
        for text in ["ff01ab", "FF:01:AB", "ff 01\nab"] {
            assert_eq!(hex(text), Ok(bytes.clone()), "{text:?}");
        }
        for text in ["", " ", "f", "ff0", "0xff", "fg"] {
            assert!(hex(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn address_is_six_bytes() {
        assert_eq!(mac("02:00:00:00:AB:01"), Ok(Mac([2, 0, 0, 0, 0xab, 1])));
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "+2:00:00:00:00:01"]
        {
            assert!(mac(text).is_err(), "{text:?}");
        }
    }
}
