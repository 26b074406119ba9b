//! Takes an eBPF object apart: programs (named functions in sections of their own), subprograms
//! (functions in `.text`), who calls whom, and what that adds up to for each program.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SectionKind,
};
use serde::{Deserialize, Serialize};

use super::decode::{self, Call};

/// Where the compiler puts functions that are no programs.
const SUBPROGRAM_SECTION: &str = ".text";
/// The kernel gives stack to each frame of a call chain in steps of this size.
const STACK_STEP_BYTES: u64 = 32;

/// What one program costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) section: String,
    /// 8-byte slots of the program and of all functions that it can reach: what the kernel loads.
    pub(super) instructions: u64,
    /// The deepest call chain, the program's own frame included.
    pub(super) stack_bytes: u64,
}

/// A function by itself, for the people who read the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub(super) section: String,
    pub(super) name: String,
    pub(super) instructions: u64,
    pub(super) stack_bytes: u64,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Object {
    pub(super) bytes: u64,
    pub(super) programs: BTreeMap<String, Program>,
    pub(super) functions: Vec<Part>,
}

/// A function and the functions it reaches, by their place: (section, byte).
struct Node {
    part: Part,
    calls: BTreeSet<Place>,
}

type Place = (usize, u64);

impl Object {
    pub(super) fn parse(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("read it as an ELF file")?;
        let big_endian = !file.is_little_endian();
        let mut nodes = BTreeMap::new();
        for symbol in file.symbols() {
            let Some(index) = symbol.section_index() else { continue };
            let section = file.section_by_index(index).context("find the section of a function")?;
            if section.kind() != SectionKind::Text || symbol.kind() != object::SymbolKind::Text {
                continue;
            }
            let name = symbol.name().context("read a function's name")?;
            let code = section.data().context("read a section's code")?;
            let range = usize::try_from(symbol.address())?
                ..usize::try_from(symbol.address() + symbol.size())?;
            let code =
                code.get(range).with_context(|| format!("{name} reaches beyond its section"))?;
            let function = decode::decode(code, symbol.address(), big_endian);
            let calls = function.calls.iter().map(|call| resolve(&file, &section, index, *call));
            let part = Part {
                section: section.name().context("read a section's name")?.to_owned(),
                name: name.to_owned(),
                instructions: function.instructions,
                stack_bytes: function.stack_bytes,
            };
            let calls = calls
                .collect::<Result<_>>()
                .with_context(|| format!("follow the calls of {name}"))?;
            nodes.insert((index.0, symbol.address()), Node { part, calls });
        }
        let mut programs = BTreeMap::new();
        for (place, node) in &nodes {
            let Part { section, name, .. } = &node.part;
            if section != SUBPROGRAM_SECTION {
                let instructions = loaded_instructions(&nodes, *place);
                let stack_bytes = deepest_stack(&nodes, *place, &mut Vec::new());
                programs.insert(
                    name.clone(),
                    Program { section: section.clone(), instructions, stack_bytes },
                );
            }
        }
        let functions = nodes.into_values().map(|node| node.part).collect();
        Ok(Self { bytes: u64::try_from(elf.len())?, programs, functions })
    }
}

/// The function that a call means: a relocation names it, or the instruction does.
fn resolve(
    file: &object::File<'_>,
    section: &object::Section<'_, '_>,
    index: SectionIndex,
    call: Call,
) -> Result<Place> {
    let relocation = section.relocations().find(|(at, _)| *at == call.at);
    let Some((_, relocation)) = relocation else {
        return Ok((
            index.0,
            u64::try_from(call.local).context("a call before the section begins")?,
        ));
    };
    let RelocationTarget::Symbol(symbol) = relocation.target() else {
        anyhow::bail!("the call at byte {} is relocated to something that is no symbol", call.at);
    };
    let symbol = file.symbol_by_index(symbol).context("find the symbol of a call")?;
    let target =
        symbol.section_index().context("a call of a function that is not in this object")?;
    // Relocated to the section as a whole, the instruction tells where in it; relocated to the
    // function, nothing does.
    let byte = if symbol.kind() == object::SymbolKind::Section { call.addend } else { 0 };
    let byte = i64::try_from(symbol.address())? + byte;
    Ok((target.0, u64::try_from(byte).context("a call before the section begins")?))
}

fn loaded_instructions(nodes: &BTreeMap<Place, Node>, program: Place) -> u64 {
    let mut seen = BTreeSet::new();
    let mut open = vec![program];
    while let Some(place) = open.pop() {
        if seen.insert(place)
            && let Some(node) = nodes.get(&place)
        {
            open.extend(&node.calls);
        }
    }
    seen.iter().filter_map(|place| nodes.get(place)).map(|node| node.part.instructions).sum()
}

/// One frame is reported as it is; in a chain, each frame takes whole steps, as in the kernel's own
/// sum.
fn deepest_stack(nodes: &BTreeMap<Place, Node>, place: Place, chain: &mut Vec<Place>) -> u64 {
    // The verifier refuses recursion; here it only must not run forever.
    let Some(node) = nodes.get(&place).filter(|_| !chain.contains(&place)) else {
        return 0;
    };
    let own = node.part.stack_bytes;
    chain.push(place);
    let deepest = node.calls.iter().map(|call| deepest_stack(nodes, *call, chain)).max();
    chain.pop();
    match deepest {
        None => own,
        Some(below) => {
            own.max(1).next_multiple_of(STACK_STEP_BYTES)
                + below.max(1).next_multiple_of(STACK_STEP_BYTES)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, instructions: u64, stack_bytes: u64, calls: &[Place]) -> Node {
        let part =
            Part { section: "classifier".into(), name: name.into(), instructions, stack_bytes };
        Node { part, calls: calls.iter().copied().collect() }
    }

    #[test]
    fn a_function_reached_twice_is_loaded_once() {
        let nodes = BTreeMap::from([
            ((1, 0), node("a", 10, 0, &[(2, 0), (2, 80)])),
            ((2, 0), node("b", 5, 0, &[(2, 80)])),
            ((2, 80), node("c", 3, 0, &[])),
            ((2, 160), node("unreached", 100, 0, &[])),
        ]);
        assert_eq!(loaded_instructions(&nodes, (1, 0)), 18);
    }

    #[test]
    fn the_deepest_chain_counts_in_whole_steps() {
        let nodes = BTreeMap::from([
            ((1, 0), node("a", 1, 40, &[(2, 0), (2, 80)])),
            ((2, 0), node("b", 1, 8, &[])),
            ((2, 80), node("c", 1, 100, &[])),
        ]);
        assert_eq!(deepest_stack(&nodes, (1, 0), &mut Vec::new()), 64 + 128);
        assert_eq!(deepest_stack(&nodes, (2, 0), &mut Vec::new()), 8);
    }

    #[test]
    fn recursion_ends() {
        let nodes = BTreeMap::from([((1, 0), node("a", 7, 8, &[(1, 0)]))]);
        assert_eq!(loaded_instructions(&nodes, (1, 0)), 7);
        assert_eq!(deepest_stack(&nodes, (1, 0), &mut Vec::new()), 64);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        let error = Object::parse(b"not an object").expect_err("no ELF");
        assert!(format!("{error:#}").starts_with("read it as an ELF file"));
    }
}
