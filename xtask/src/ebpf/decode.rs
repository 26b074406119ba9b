//! Reads eBPF machine code: how many instructions a function has, how deep it reaches into its
//! stack, and whom it calls. Pure, so that a test is a few bytes.

use std::collections::BTreeSet;

/// One instruction slot. `lddw` takes two slots, and counts as two, as it does for the kernel.
const SLOT_BYTES: usize = 8;
/// The read-only frame pointer: the stack is below it.
const FRAME_POINTER: u8 = 10;

const CLASS_MASK: u8 = 0x07;
const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_ST: u8 = 0x02;
const CLASS_STX: u8 = 0x03;
const CLASS_ALU: u8 = 0x04;
const CLASS_ALU64: u8 = 0x07;

const OP_LDDW: u8 = 0x18;
const OP_CALL: u8 = 0x85;
const OP_MOV64_REG: u8 = 0xbf;
const OP_ADD64_IMM: u8 = 0x07;
/// In the source register of a call: the target is a function of this object, not a helper.
const PSEUDO_CALL: u8 = 1;
/// In the source register of `lddw`: the value is the address of a function of this object, a
/// callback.
const PSEUDO_FUNC: u8 = 4;

/// What one function does, as far as a budget is concerned.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) instructions: u64,
    pub(super) stack_bytes: u64,
    pub(super) calls: BTreeSet<Call>,
}

/// A call of another function of the object, or the making of a pointer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    /// The byte in the section at which the instruction stands: a relocation there names the
    /// target.
    pub(super) at: u64,
    /// The byte in the section of the target that the instruction itself names, to be used with
    /// that relocation.
    pub(super) addend: i64,
    /// The same without a relocation: the byte in this very section.
    pub(super) local: i64,
}

struct Slot {
    opcode: u8,
    dst: u8,
    src: u8,
    offset: i16,
    imm: i32,
}

impl Slot {
    fn parse(bytes: [u8; SLOT_BYTES], big_endian: bool) -> Self {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        let (low, high) = (registers & 0x0f, registers >> 4);
        if big_endian {
            let (offset, imm) =
                (i16::from_be_bytes([o0, o1]), i32::from_be_bytes([i0, i1, i2, i3]));
            return Self { opcode, dst: high, src: low, offset, imm };
        }
        let (offset, imm) = (i16::from_le_bytes([o0, o1]), i32::from_le_bytes([i0, i1, i2, i3]));
        Self { opcode, dst: low, src: high, offset, imm }
    }
}

/// Reads one function, whose code begins at byte `start` of its section.
///
/// Pointers into the stack are followed through copies and constant additions in the order of the
/// code. Jumps are not followed: a compiler derives such a pointer where it uses it, so the order
/// of the code is close enough for a budget.
pub(super) fn decode(code: &[u8], start: u64, big_endian: bool) -> Function {
    let mut function = Function::default();
    // For each register: its distance from the frame pointer, where that is known.
    let mut distance: [Option<i64>; 16] = [None; 16];
    distance[usize::from(FRAME_POINTER)] = Some(0);
    let mut second_of_lddw = false;

    let (slots, _incomplete) = code.as_chunks::<SLOT_BYTES>();
    for (at, slot) in (start..).step_by(SLOT_BYTES).zip(slots) {
        function.instructions += 1;
        if std::mem::take(&mut second_of_lddw) {
            continue;
        }
        let Slot { opcode, dst, src, offset, imm } = Slot::parse(*slot, big_endian);
        let (dst, src) = (usize::from(dst), usize::from(src));
        let mut reach = |distance: Option<i64>, offset: i64| {
            let bytes = distance.map_or(0, |distance| -(distance + offset));
            function.stack_bytes = function.stack_bytes.max(u64::try_from(bytes).unwrap_or(0));
        };
        match opcode {
            OP_MOV64_REG => {
                // With an offset it is a sign extension or an address space cast, which yields no
                // stack pointer.
                distance[dst] = distance[src].filter(|_| offset == 0);
                continue;
            }
            OP_ADD64_IMM => {
                distance[dst] = distance[dst].map(|distance| distance + i64::from(imm));
                reach(distance[dst], 0);
                continue;
            }
            OP_LDDW => {
                second_of_lddw = true;
                if src == usize::from(PSEUDO_FUNC) {
                    // A callback: the immediate is a byte for the linker, and a relocation names
                    // the section.
                    let addend = i64::from(imm);
                    function.calls.insert(Call { at, addend, local: addend });
                }
            }
            OP_CALL => {
                if src == usize::from(PSEUDO_CALL) {
                    let addend = (i64::from(imm) + 1) * 8;
                    let local = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(addend);
                    function.calls.insert(Call { at, addend, local });
                }
                // r0 is the result, r1 to r5 are lost.
                distance[..=5].fill(None);
                continue;
            }
            _ => {}
        }
        match opcode & CLASS_MASK {
            CLASS_LDX => {
                reach(distance[src], i64::from(offset));
                distance[dst] = None;
            }
            CLASS_ST | CLASS_STX => reach(distance[dst], i64::from(offset)),
            CLASS_LD | CLASS_ALU | CLASS_ALU64 => distance[dst] = None,
            _ => {}
        }
        distance[usize::from(FRAME_POINTER)] = Some(0);
    }
    function
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(opcode: u8, dst: u8, src: u8, offset: i16, imm: i32) -> [u8; 8] {
        let (o, i) = (offset.to_le_bytes(), imm.to_le_bytes());
        [opcode, dst | (src << 4), o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    fn decode_slots(slots: &[[u8; 8]]) -> Function {
        decode(&slots.concat(), 0, false)
    }

    #[test]
    fn a_store_below_the_frame_pointer_uses_stack() {
        // *(u64 *)(r10 - 24) = r1; exit
        let function = decode_slots(&[slot(0x7b, 10, 1, -24, 0), EXIT]);
        assert_eq!((function.instructions, function.stack_bytes), (2, 24));
    }

    #[test]
    fn a_load_from_the_stack_counts_and_a_load_from_elsewhere_does_not() {
        // r1 = *(u32 *)(r10 - 8); r2 = *(u32 *)(r6 - 64)
        let function = decode_slots(&[slot(0x61, 1, 10, -8, 0), slot(0x61, 2, 6, -64, 0), EXIT]);
        assert_eq!(function.stack_bytes, 8);
    }

    #[test]
    fn a_derived_pointer_counts_from_where_it_points() {
        // r2 = r10; r2 += -40; *(u8 *)(r2 - 8) = 0
        let function = decode_slots(&[
            slot(0xbf, 2, 10, 0, 0),
            slot(0x07, 2, 0, 0, -40),
            slot(0x72, 2, 0, -8, 0),
            EXIT,
        ]);
        assert_eq!(function.stack_bytes, 48);
    }

    #[test]
    fn a_pointer_is_forgotten_when_its_register_is_overwritten_or_lost_in_a_call() {
        // r2 = r10; r2 = 7; r2 += -400; r1 = r10; call 5; r1 += -400
        let function = decode_slots(&[
            slot(0xbf, 2, 10, 0, 0),
            slot(0xb7, 2, 0, 0, 7),
            slot(0x07, 2, 0, 0, -400),
            slot(0xbf, 1, 10, 0, 0),
            slot(0x85, 0, 0, 0, 5),
            slot(0x07, 1, 0, 0, -400),
            EXIT,
        ]);
        assert_eq!(function.stack_bytes, 0);
    }

    #[test]
    fn a_wide_load_is_two_slots_and_its_second_is_not_code() {
        // The second slot would read as a store at r10 - 256 if it were taken for an instruction.
        let function = decode_slots(&[slot(0x18, 1, 0, 0, 0), slot(0x7b, 10, 1, -256, 0), EXIT]);
        assert_eq!((function.instructions, function.stack_bytes), (3, 0));
    }

    #[test]
    fn a_call_of_a_function_is_told_from_a_call_of_a_helper() {
        let code = [slot(0x85, 0, 0, 0, 1), slot(0x85, 0, 1, 0, 3), EXIT].concat();
        let function = decode(&code, 80, false);
        let calls = [Call { at: 88, addend: 32, local: 120 }];
        assert_eq!(function.calls, BTreeSet::from(calls));
    }

    #[test]
    fn big_endian_code_reads_the_same() {
        // *(u64 *)(r10 - 24) = r1
        let function = decode(&[0x7b, 0xa1, 0xff, 0xe8, 0, 0, 0, 0], 0, true);
        assert_eq!(function.stack_bytes, 24);
    }
}
