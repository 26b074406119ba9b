//! Frames as people type them.

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
}
