//! Containers: what the files of their tools, and the cgroups of their processes, say of them.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Container, Process};

/// What one file says of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its first process, and when that started, in ticks since the machine did. A process of that
    /// id that started at another time is somebody else.
    pub process: Option<(u32, u64)>,
    /// Path of its network namespace.
    pub netns_path: Option<String>,
}

impl Record {
    /// The containers in a `containers.json` of containers/storage, which podman and CRI-O use.
    pub fn of_storage(text: &str) -> Vec<Self> {
        #[derive(Deserialize)]
        struct Stored {
            id: String,
            #[serde(default)]
            names: Option<Vec<String>>,
        }
        let stored: Vec<Stored> = serde_json::from_str(text).unwrap_or_default();
        let record = |Stored { id, names }| Self {
            id,
            name: names.and_then(|names| names.into_iter().next()),
            ..Self::default()
        };
        stored.into_iter().map(record).collect()
    }

    /// The container in a `config.v2.json` of Docker.
    ///
    /// The process that it names is left alone: after a crash it may long be another one. The path
    /// of the namespace does not outlive the namespace.
    pub fn of_docker(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Config {
            #[serde(rename = "ID")]
            id: String,
            name: Option<String>,
            network_settings: Option<NetworkSettings>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct NetworkSettings {
            sandbox_key: Option<String>,
        }
        let Config { id, name, network_settings } = serde_json::from_str(text).ok()?;
        let name = name.map(|name| name.trim_start_matches('/').to_owned());
        let key = network_settings.and_then(|settings| settings.sandbox_key);
        Some(Self {
            id,
            name: name.filter(|name| !name.is_empty()),
            process: None,
            netns_path: key.filter(|key| !key.is_empty()),
        })
    }

    /// The container in a `state.json` of runc.
    pub fn of_runc(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct State {
            id: String,
            init_process_pid: u32,
            init_process_start: u64,
        }
        let State { id, init_process_pid, init_process_start } = serde_json::from_str(text).ok()?;
        let process = Some((init_process_pid, init_process_start));
        Some(Self { id, process, ..Self::default() })
    }

    /// The container called `id` in a `status` of crun.
    pub fn of_crun(id: &str, text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Status {
            pid: u32,
            process_start_time: u64,
        }
        let Status { pid, process_start_time } = serde_json::from_str(text).ok()?;
        let process = Some((pid, process_start_time));
        Some(Self { id: id.to_owned(), process, ..Self::default() })
    }
}

/// The id of the container that a process belongs to, by the text of its `/proc/PID/cgroup`: where
/// containers are nested, the innermost.
pub fn container_of_cgroup(text: &str) -> Option<&str> {
    // ID:CONTROLLERS:PATH; a path may have colons.
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.find_map(|path| path.rsplit('/').find_map(id_of_segment))
}

/// What container tools put before the id; nothing, where the cgroup's parent says whose it is.
/// Their monitors (`libpod-conmon-`) are not in the container.
const PREFIXES: [&str; 7] =
    ["libpod-payload-", "libpod-", "docker-", "crio-", "cri-containerd-", "nerdctl-", ""];

fn id_of_segment(segment: &str) -> Option<&str> {
    /// Of an id, in hexadecimal digits.
    const LENGTH: usize = 64;
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    // SLICE:PREFIX:ID is how a systemd slice is written where systemd has no part in it.
    let name = name.rsplit(':').next().unwrap_or(name);
    let is_id = |id: &&str| {
        id.len() == LENGTH && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).find(is_id)
}

/// What is known of the machine's containers.
#[derive(Debug, Default)]
pub struct Containers {
    names: HashMap<String, String>,
    ids_by_process: HashMap<(u32, u64), String>,
    ids_by_netns: HashMap<u64, String>,
}

impl Containers {
    /// Adds what a file says, and the inode of the namespace that it names, where there is one.
    pub fn add(&mut self, record: Record, netns_inode: Option<u64>) {
        let Record { id, name, process, netns_path: _ } = record;
        if let Some(name) = name {
            self.names.insert(id.clone(), name);
        }
        if let Some(process) = process {
            self.ids_by_process.insert(process, id.clone());
        }
        if let Some(inode) = netns_inode {
            self.ids_by_netns.insert(inode, id);
        }
    }

    /// The containers of the namespace `inode`, in the order of `processes`, which are in it:
    /// each with the id that its cgroup tells.
    pub fn in_namespace<'a>(
        &self,
        inode: u64,
        processes: impl IntoIterator<Item = (&'a Process, Option<String>)>,
    ) -> Vec<Container> {
        let mut ids: Vec<String> = Vec::new();
        let of_processes = processes.into_iter().filter_map(|(process, id)| {
            let key = (process.pid, process.started_ticks);
            id.or_else(|| self.ids_by_process.get(&key).cloned())
        });
        for id in self.ids_by_netns.get(&inode).cloned().into_iter().chain(of_processes) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.into_iter().map(|id| Container { name: self.names.get(&id).cloned(), id }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "2ea668dcf5ebc6c8c2d14ee9262eda4cae19dc83912d425526276215168f7eb7";
    const DB: &str = "5ef57ebcf526388879f45b5a77b08fd5de1de02ed3ff03f49b4e6792cc0ff19b";

    fn process(pid: u32, started_ticks: u64) -> Process {
        Process { pid, command: "sleep".into(), started_ticks }
    }

    #[test]
    fn cgroups_tell_the_container() {
        for path in [
            "0::/libpod_parent/libpod-ID",
            "0::/machine.slice/libpod-ID.scope",
            "0::/machine.slice/libpod-ID.scope/container",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "0::/system.slice/docker-ID.scope",
            "0::/docker/ID/init.scope",
            "12:cpu,cpuacct:/docker/ID\n0::/system.slice/containerd.service\n",
            "0::/system.slice/x\n1:name=systemd:/docker/ID\n",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/crio-ID.scope",
            "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope",
            "11:pids:/kubepods/besteffort/pod9c5b/ID",
            "0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID",
        ] {
            let text = path.replace("ID", WEB);
            assert_eq!(container_of_cgroup(&text), Some(WEB), "{path}");
        }
    }

    #[test]
    fn the_innermost_container_is_meant() {
        let text = format!("0::/docker/{DB}/kubelet/kubepods/pod1/{WEB}\n");
        assert_eq!(container_of_cgroup(&text), Some(WEB));
    }

    #[test]
    fn other_cgroups_are_no_containers() {
        for path in [
            "0::/",
            "0::/user.slice/user-0.slice/session-3.scope",
            "0::/machine.slice/libpod-conmon-ID.scope",
            "0::/libpod_parent/conmon",
            "0::/docker/2ea668dcf5eb",
            "ID",
            "",
        ] {
            assert_eq!(container_of_cgroup(&path.replace("ID", WEB)), None, "{path}");
        }
    }

    #[test]
    fn podmans_storage_tells_names() {
        // As podman 4.3 writes it, with a container that has no name besides.
        let text = r#"[{"id":"2ea668dcf5ebc6c8c2d14ee9262eda4cae19dc83912d425526276215168f7eb7",
            "names":["web"],"image":"",
            "layer":"a563cdb1348f8ae4e18cac599174d47487d931b4c5c41425e6b1f9bddc9237a6",
            "metadata":"{\"image-name\":\"\",\"image-id\":\"\",\"name\":\"web\",\"created-at\":1795206733}",
            "created":"2026-11-20T20:32:13.701869787Z",
            "flags":{"MountLabel":"","ProcessLabel":"","Volatile":true}},
            {"id":"5ef57ebcf526388879f45b5a77b08fd5de1de02ed3ff03f49b4e6792cc0ff19b"}]"#;
        let named = |id: &str, name: Option<&str>| Record {
            id: id.into(),
            name: name.map(Into::into),
            ..Record::default()
        };
        assert_eq!(Record::of_storage(text), [named(WEB, Some("web")), named(DB, None)]);
        assert!(Record::of_storage("").is_empty());
        assert!(Record::of_storage("{}").is_empty());
    }

    #[test]
    fn dockers_configuration_tells_name_and_namespace() {
        let text = format!(
            r#"{{"StreamConfig":{{}},"State":{{"Running":true,"Pid":4711}},"ID":"{DB}",
            "Name":"/db","NetworkSettings":{{"Bridge":"","SandboxID":"8a1f",
            "SandboxKey":"/var/run/docker/netns/8a1f0d4c2b3e","Ports":null}},"RestartCount":0}}"#
        );
        let expected = Record {
            id: DB.into(),
            name: Some("db".into()),
            process: None,
            netns_path: Some("/var/run/docker/netns/8a1f0d4c2b3e".into()),
        };
        assert_eq!(Record::of_docker(&text), Some(expected));
        let stopped =
            format!(r#"{{"ID":"{DB}","Name":"/db","NetworkSettings":{{"SandboxKey":""}}}}"#);
        assert_eq!(Record::of_docker(&stopped).and_then(|record| record.netns_path), None);
        assert_eq!(Record::of_docker("{"), None);
    }

    #[test]
    fn runtimes_tell_the_first_process() {
        let runc = format!(
            r#"{{"id":"{WEB}","init_process_pid":24320,"init_process_start":1589651,
            "created":"2026-11-20T20:32:13.854182079Z","config":{{"rootfs":"/"}}}}"#
        );
        let crun = r#"{"pid": 24320, "process-start-time": 1589651,
            "cgroup-path": "/libpod_parent/x", "scope": "", "rootfs": "/", "bundle": "/b"}"#;
        let expected =
            Record { id: WEB.into(), process: Some((24320, 1_589_651)), ..Record::default() };
        assert_eq!(Record::of_runc(&runc), Some(expected.clone()));
        assert_eq!(Record::of_crun(WEB, crun), Some(expected));
        assert_eq!(Record::of_crun(WEB, "{}"), None);
    }

    #[test]
    fn containers_are_found_by_cgroup_by_process_and_by_namespace() {
        let mut containers = Containers::default();
        let name = |id: &str, name: &str| Record {
            id: id.into(),
            name: Some(name.into()),
            ..Record::default()
        };
        containers.add(name(WEB, "web"), None);
        containers.add(name(DB, "db"), Some(77));
        let started = Record { id: WEB.into(), process: Some((5, 100)), ..Record::default() };
        containers.add(started, None);

        let names = |inode, processes: &[(Process, Option<&str>)]| -> Vec<String> {
            let processes = processes.iter().map(|(it, id)| (it, id.map(str::to_owned)));
            let found = containers.in_namespace(inode, processes);
            found.iter().map(|it| it.label().to_owned()).collect()
        };
        assert_eq!(names(1, &[(process(9, 1), Some(WEB)), (process(10, 2), Some(WEB))]), ["web"]);
        assert_eq!(names(1, &[(process(5, 100), None)]), ["web"]);
        // The id of the process was given to another one.
        assert!(names(1, &[(process(5, 101), None)]).is_empty());
        assert_eq!(names(77, &[]), ["db"]);
        assert_eq!(names(77, &[(process(9, 1), Some(WEB))]), ["db", "web"]);
    }
}
