//! The program of a datapath: one classifier, or one XDP program.

use std::path::Path;

use aya::{
    Ebpf,
    programs::{Program as AyaProgram, ProgramError, ProgramInfo, SchedClassifier, Xdp},
};
use aya_obj::programs::XdpAttachType;
use veth_common::names;

use super::DatapathError;
use crate::forwarding::FastPath;

/// A program in the kernel, held open.
pub(super) enum Program {
    /// In its object, which owns it: the program of that name.
    Loaded(Box<Ebpf>, &'static str),
    /// From the pin of a classifier.
    PinnedTc(Box<SchedClassifier>),
    /// From the pin of an XDP program.
    PinnedXdp(Box<Xdp>),
}

impl Program {
    /// Loads the program of `object` into the kernel.
    pub(super) fn load(
        mut object: Ebpf,
        path: FastPath,
    ) -> Result<(Self, ProgramInfo), DatapathError> {
        let name = match path {
            FastPath::Tc => {
                classifier(&mut object, names::TC_INGRESS)?
                    .load()
                    .map_err(program_failed("load tc_ingress into the kernel"))?;
                names::TC_INGRESS
            }
            FastPath::Xdp => {
                // A kernel that does not know frames of several pages refuses the first.
                if xdp(&mut object, names::XDP_INGRESS)?.load().is_ok() {
                    names::XDP_INGRESS
                } else {
                    xdp(&mut object, names::XDP_INGRESS_LINEAR)?
                        .load()
                        .map_err(program_failed("load xdp_ingress_linear into the kernel"))?;
                    names::XDP_INGRESS_LINEAR
                }
            }
        };
        let failed = program_failed("examine the loaded program");
        let info = match path {
            FastPath::Tc => classifier(&mut object, name)?.info(),
            FastPath::Xdp => xdp(&mut object, name)?.info(),
        };
        Ok((Self::Loaded(Box::new(object), name), info.map_err(failed)?))
    }

    /// Opens what is pinned at `pin`.
    pub(super) fn open(pin: &Path, path: FastPath) -> Result<(Self, ProgramInfo), DatapathError> {
        let failed = program_failed("open the pinned program");
        match path {
            FastPath::Tc => {
                let program = SchedClassifier::from_pin(pin).map_err(&failed)?;
                let info = program.info().map_err(&failed)?;
                Ok((Self::PinnedTc(Box::new(program)), info))
            }
            FastPath::Xdp => {
                let program = Xdp::from_pin(pin, XdpAttachType::Interface).map_err(&failed)?;
                let info = program.info().map_err(&failed)?;
                Ok((Self::PinnedXdp(Box::new(program)), info))
            }
        }
    }

    /// The classifier that it is.
    pub(super) fn classifier(&mut self) -> Result<&mut SchedClassifier, DatapathError> {
        match self {
            Self::Loaded(object, name) => classifier(object, name),
            Self::PinnedTc(program) => Ok(program),
            Self::PinnedXdp(_) => Err(DatapathError::Missing(names::TC_INGRESS)),
        }
    }

    /// The XDP program that it is.
    pub(super) fn xdp(&mut self) -> Result<&mut Xdp, DatapathError> {
        match self {
            Self::Loaded(object, name) => xdp(object, name),
            Self::PinnedXdp(program) => Ok(program),
            Self::PinnedTc(_) => Err(DatapathError::Missing(names::XDP_INGRESS)),
        }
    }

    /// Pins it at `pin`, where nothing is.
    pub(super) fn pin(&mut self, pin: &Path) -> Result<(), DatapathError> {
        let pinned = match self {
            Self::Loaded(object, name) => {
                let program = object.program_mut(name).ok_or(DatapathError::Missing(name))?;
                program.pin(pin)
            }
            Self::PinnedTc(program) => program.pin(pin),
            Self::PinnedXdp(program) => program.pin(pin),
        };
        pinned.map_err(|source| DatapathError::Pin {
            action: format!("pin {}", pin.display()),
            source,
        })
    }
}

fn classifier<'a>(
    object: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, DatapathError> {
    find(object, name)?.try_into().map_err(program_failed("take a program for a classifier"))
}

fn xdp<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, DatapathError> {
    find(object, name)?.try_into().map_err(program_failed("take a program for an XDP program"))
}

fn find<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut AyaProgram, DatapathError> {
    object.program_mut(name).ok_or(DatapathError::Missing(name))
}

fn program_failed(action: &'static str) -> impl Fn(ProgramError) -> DatapathError {
    move |source| DatapathError::Program { action: action.into(), source: Box::new(source) }
}
