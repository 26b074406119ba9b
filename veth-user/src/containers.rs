//! Containers, as the files of their tools have them: nobody's daemon is talked to.
//!
//! A file that is not there, cannot be read or says something else is not used: a container is then
//! told by less than its name.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::inventory::{Containers, Record, container_of_cgroup};

/// containers/storage (podman, CRI-O): a directory for each driver, in which these files are. The
/// second one has what is not to survive a crash.
const STORAGE_DIRS: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];
const STORAGE_FILES: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// Docker: a directory for each container.
const DOCKER_DIR: &str = "var/lib/docker/containers";

/// runc by itself (podman); in a directory for each of its users (containerd, Docker).
const RUNC_DIRS: [&str; 3] =
    ["run/runc", "run/containerd/runc/k8s.io", "run/docker/runtime-runc/moby"];

/// crun.
const CRUN_DIR: &str = "run/crun";

/// Reads what is known of containers below `root`, which is `/` for those of this machine.
pub fn read(root: &Path) -> Containers {
    let mut containers = Containers::default();
    for drivers in STORAGE_DIRS.map(|dir| entries(&root.join(dir))) {
        for file in drivers.iter().flat_map(|dir| STORAGE_FILES.map(|file| dir.join(file))) {
            for record in Record::of_storage(&text(&file)) {
                containers.add(record, None);
            }
        }
    }
    for dir in entries(&root.join(DOCKER_DIR)) {
        if let Some(record) = Record::of_docker(&text(&dir.join("config.v2.json"))) {
            let path = record.netns_path.as_ref().map(|path| below(root, path));
            let inode = path.and_then(|path| fs::metadata(path).ok()).map(|it| it.ino());
            containers.add(record, inode);
        }
    }
    for dir in RUNC_DIRS.iter().flat_map(|dir| entries(&root.join(dir))) {
        if let Some(record) = Record::of_runc(&text(&dir.join("state.json"))) {
            containers.add(record, None);
        }
    }
    for dir in entries(&root.join(CRUN_DIR)) {
        if let Some(id) = dir.file_name().and_then(|name| name.to_str())
            && let Some(record) = Record::of_crun(id, &text(&dir.join("status")))
        {
            containers.add(record, None);
        }
    }
    containers
}

/// The id of the container that the cgroup of a process tells, if it is in one.
pub fn of_process(pid: u32) -> Option<String> {
    container_of_cgroup(&text(&PathBuf::from(format!("/proc/{pid}/cgroup")))).map(str::to_owned)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// An absolute path, taken below `root`.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Process;

    const IDS: [&str; 4] = ["aa", "bb", "cc", "dd"];

    #[test]
    fn the_files_of_every_tool_are_read() {
        let root = std::env::temp_dir().join(format!("veth-containers-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it is writable");
            fs::write(path, text).expect("it is writable");
        };
        let storage = "var/lib/containers/storage";
        write(
            &format!("{storage}/overlay-containers/containers.json"),
            r#"[{"id":"aa","names":["web"]}]"#,
        );
        write(
            &format!("{storage}/vfs-containers/volatile-containers.json"),
            r#"[{"id":"bb","names":["job"]}]"#,
        );
        write(
            "run/runc/aa/state.json",
            r#"{"id":"aa","init_process_pid":1,"init_process_start":9}"#,
        );
        write("run/runc/broken/state.json", "{");
        write("run/crun/bb/status", r#"{"pid":2,"process-start-time":9}"#);
        write(
            "run/containerd/runc/k8s.io/cc/state.json",
            r#"{"id":"cc","init_process_pid":3,"init_process_start":9}"#,
        );
        write(
            "var/lib/docker/containers/dd/config.v2.json",
            r#"{"ID":"dd","Name":"/db","NetworkSettings":{"SandboxKey":"/run/docker/netns/1"}}"#,
        );
        write("run/docker/netns/1", "");
        let inode = fs::metadata(root.join("run/docker/netns/1")).expect("it is there").ino();
        let containers = read(&root);
        fs::remove_dir_all(&root).expect("it is ours");

        let processes =
            [1, 2, 3].map(|pid| Process { pid, command: "sleep".into(), started_ticks: 9 });
        let found = containers.in_namespace(inode, processes.iter().map(|it| (it, None)));
        let told = |at: usize| (found[at].id.as_str(), found[at].name.as_deref());
        let [aa, bb, cc, dd] = IDS;
        assert_eq!(
            [told(0), told(1), told(2), told(3)],
            [(dd, Some("db")), (aa, Some("web")), (bb, Some("job")), (cc, None)]
        );
    }

    #[test]
    fn where_there_are_no_containers_there_is_no_error() {
        let containers = read(Path::new("/nowhere"));
        assert!(containers.in_namespace(1, []).is_empty());
        assert_eq!(of_process(u32::MAX), None);
    }
}
