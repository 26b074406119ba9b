//! Where results are kept: one JSON file for each run.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process,
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};

use crate::results::{FORMAT, Results};

/// What the name of a file ends with while it is being written.
const UNFINISHED: &str = "unfinished";

/// The file that results are saved in: `chosen`, or a new one in the user's state directory.
pub(super) fn destination(chosen: Option<&Path>) -> Result<PathBuf> {
    if let Some(chosen) = chosen {
        check_writable(chosen)?;
        return Ok(chosen.to_owned());
    }
    let dir = state_dir();
    fs::create_dir_all(&dir)
        .with_context(|| format!("make {}; --save FILE chooses another place", dir.display()))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |since| since.as_secs());
    Ok(dir.join(format!("bench-{seconds}-{}.json", process::id())))
}

/// Where programs keep what they do not want to lose
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn state_dir() -> PathBuf {
    let absolute = |key| env::var_os(key).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| "/var/lib".into());
    base.join("veth")
}

/// The file that `path` leads to. Only files are written: in place of a device or a pipe there would
/// be a file afterwards.
fn target_of(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            bail!("write to {}: it is a directory", path.display())
        }
        Ok(metadata) if !metadata.is_file() => {
            bail!("write to {}: it is not an ordinary file", path.display())
        }
        // A link stays one.
        Ok(_) => fs::canonicalize(path).with_context(|| format!("write to {}", path.display())),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Makes sure that `path` can be written to, before there is something to lose.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    let unfinished = unfinished(&target_of(path)?);
    fs::File::create(&unfinished)
        .and_then(|_| fs::remove_file(&unfinished))
        .with_context(|| format!("write to {}", path.display()))
}

/// Saves `results` in `path`: whoever reads that file at any time finds whole results.
pub(super) fn save(path: &Path, results: &Results) -> Result<()> {
    let text = serde_json::to_string(results).context("write results as JSON")?;
    write(path, &(text + "\n"))
}

/// Writes `text` to `path`, in place of what was there.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let target = target_of(path)?;
    let unfinished = unfinished(&target);
    let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &target));
    if written.is_err() {
        // Half of it is of no use. Why it is only half, is what has to be told.
        let _ = fs::remove_file(&unfinished);
    }
    written.with_context(|| format!("write {}", path.display()))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{UNFINISHED}", process::id()));
    name.into()
}

/// Reads what [`save`] wrote.
pub(super) fn load(path: &Path) -> Result<Results> {
    let what = || format!("read the results in {}", path.display());
    let text = fs::read_to_string(path).with_context(what)?;
    let results: Results = serde_json::from_str(&text).with_context(what)?;
    if results.format != FORMAT {
        bail!("{}: it is of format {}, and this veth knows {FORMAT}", what(), results.format);
    }
    Ok(results)
}

/// Removes files in the state directory whose writing was cut short, and says which.
pub(super) fn remove_unfinished() -> Result<Vec<PathBuf>> {
    let dir = state_dir();
    let what = || format!("clear {}", dir.display());
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(what)?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let path = entry.with_context(what)?.path();
        if path.extension().is_some_and(|it| it == UNFINISHED) && !is_being_written(&path) {
            fs::remove_file(&path).with_context(what)?;
            removed.push(path);
        }
    }
    Ok(removed)
}

/// Whether the process that began the file, whose number is in its name, is still there.
fn is_being_written(path: &Path) -> bool {
    let number = path.file_stem().map(Path::new).and_then(Path::extension);
    number.is_some_and(|number| Path::new("/proc").join(number).exists())
}
