//! The object of the benchmark: frames of the kernel's own making, sinks that count them, and
//! variants of the tc program to compare it with.
//!
//! Nothing here is pinned: all of it ends with the value that stands for it.

mod generator;
mod sink;
mod variant;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapError},
    programs::{ProgramError, SchedClassifier, Xdp, loaded_programs},
};
use veth_common::names;

use super::{DatapathError, error::map_failed, object::BENCH_OBJECT};

pub use generator::{FrameTemplate, Generator};
pub use sink::{Sink, SinkHook};
pub use variant::{Variant, VariantPort};

/// How many programs of benchmarks are in the kernel.
///
/// # Errors
///
/// When the kernel does not list its programs (`CAP_BPF`).
pub fn count_loaded() -> Result<usize, DatapathError> {
    let mut count = 0;
    for program in loaded_programs() {
        let program = program.map_err(|source| DatapathError::Program {
            action: "list the programs in the kernel".into(),
            source: Box::new(source),
        })?;
        // The kernel keeps the first fifteen characters of a name.
        let name = program.name();
        let is_ours = |full: &str| full.as_bytes().starts_with(name) && !name.is_empty();
        count += usize::from(names::BENCH_PROGRAMS.into_iter().any(is_ours));
    }
    Ok(count)
}

/// Loads the object for programs that forward nothing: the maps of a fabric are as small as can be.
fn load_alone() -> Result<Ebpf, DatapathError> {
    let mut loader = EbpfLoader::new();
    for name in names::MAPS {
        loader.map_max_entries(name, 1);
    }
    Ok(loader.load(BENCH_OBJECT)?)
}

fn take_map<M: TryFrom<Map, Error = MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<M, DatapathError> {
    let map = object.take_map(name).ok_or(DatapathError::Missing(name))?;
    M::try_from(map).map_err(map_failed("open", name))
}

fn xdp<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, DatapathError> {
    let program = object.program_mut(name).ok_or(DatapathError::Missing(name))?;
    program.try_into().map_err(program_failed("open", name))
}

fn classifier<'a>(
    object: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, DatapathError> {
    let program = object.program_mut(name).ok_or(DatapathError::Missing(name))?;
    program.try_into().map_err(program_failed("open", name))
}

fn program_failed(
    verb: &'static str,
    name: &'static str,
) -> impl Fn(ProgramError) -> DatapathError {
    move |source| DatapathError::Program {
        action: format!("{verb} {name}"),
        source: Box::new(source),
    }
}
