//! The shape of the workspace, read from `cargo metadata`: which crate may depend on which, what pure crates keep away
//! from, which compiler is enough.
//!
//! An edge that is not listed here is a decision, and belongs in a commit of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, TargetKind};

/// Who may depend on whom, among our own crates.
const ARROWS: [(&str, &[&str]); 12] = [
    ("kithara-net", &[]),
    ("kithara-assets", &[]),
    ("kithara-stream", &[]),
    ("kithara-demux", &[]),
    ("kithara-hls-core", &[]),
    ("kithara-origin", &[]),
    ("kithara-fetch", &["kithara-net", "kithara-assets"]),
    ("kithara-hls", &["kithara-hls-core", "kithara-fetch", "kithara-demux", "kithara-stream"]),
    ("kithara-file", &["kithara-fetch", "kithara-stream"]),
    ("kithara-decode", &["kithara-demux", "kithara-stream"]),
    ("kithara", &["kithara-hls", "kithara-file", "kithara-decode", "kithara-stream"]),
    ("kithara-cli", &["kithara", "kithara-origin"]),
];

/// Crates that decide: no runtime, no sockets, no files, whatever their dependencies are called.
const PURE: [&str; 2] = ["kithara-demux", "kithara-hls-core"];
const IMPURE: [&str; 6] = ["tokio", "hyper", "reqwest", "mio", "socket2", "rand"];
/// Where the outside comes in: a clock, chance, threads, what they share, sockets, files, the environment.
const FORBIDDEN: [&str; 16] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "std::collections::hash_map::RandomState::new",
    "std::collections::HashMap",
    "std::thread::spawn",
    "std::thread::scope",
    "std::thread::Builder",
    "std::sync::Mutex",
    "std::sync::mpsc::SyncSender",
    "std::sync::atomic::AtomicPtr",
    "std::net::TcpListener",
    "std::fs::File",
    "std::fs::OpenOptions",
    "std::fs::read_dir",
    "std::process::Command",
    "std::env::args",
];

fn metadata() -> Metadata {
    MetadataCommand::new().exec().expect("cargo describes its own workspace")
}

/// The same with every feature on, and so with every dependency that somebody may come to build.
fn with_all_features() -> Metadata {
    let all = MetadataCommand::new().features(CargoOpt::AllFeatures).exec();
    all.expect("cargo describes its own workspace")
}

/// Our crates, each with what it depends on in its library or binary.
fn edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let normal = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development);
        dependencies.map(|it| it.name.clone()).filter(|name| ours.contains(name.as_str())).collect()
    };
    metadata.workspace_packages().iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

#[test]
fn no_crate_depends_on_another_that_the_design_does_not_allow() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for (from, edges) in edges(&metadata()) {
        let allowed = allowed.get(from.as_str()).unwrap_or_else(|| panic!("{from} is not in the list of arrows"));
        for to in edges {
            assert!(allowed.contains(&to.as_str()), "{from} -> {to} is not an arrow of the design");
        }
    }
}

#[test]
fn the_arrows_form_no_cycle() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let mut height: BTreeMap<&str, usize> = BTreeMap::new();
    // As many rounds as there are crates settle every height, unless they chase each other.
    for _ in 0..ARROWS.len() {
        for (from, to) in &arrows {
            let below = to.iter().filter_map(|to| height.get(to)).max().map_or(0, |height| height + 1);
            height.insert(from, below);
        }
    }
    for (from, to) in &arrows {
        assert!(to.iter().all(|to| height[to] < height[from]), "{from} is part of a cycle");
    }
}

#[test]
fn pure_crates_reach_nothing_that_does() {
    let metadata = with_all_features();
    let resolve = metadata.resolve.as_ref().expect("dependencies are resolved");
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    for pure in PURE {
        let root = metadata.packages.iter().find(|package| package.name.as_str() == pure).expect("it is there");
        let (mut reached, mut open) = (BTreeSet::new(), vec![&root.id]);
        while let Some(id) = open.pop() {
            let node = resolve.nodes.iter().find(|node| node.id == *id).expect("every package is a node");
            let normal =
                node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|it| it.kind == DependencyKind::Normal));
            open.extend(normal.map(|dep| &dep.pkg).filter(|id| reached.insert(names[id])));
        }
        for impure in IMPURE {
            assert!(!reached.contains(impure), "{pure} reaches {impure}");
        }
    }
}

#[test]
fn pure_crates_are_held_to_the_same_rules() {
    let rules = PURE.map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(name).join("clippy.toml");
        std::fs::read_to_string(path).expect("a pure crate has rules of its own")
    });
    assert!(rules.iter().all(|text| *text == rules[0]), "the lists of {PURE:?} differ");
    let missing: Vec<&str> = FORBIDDEN.into_iter().filter(|path| !rules[0].contains(&format!("\"{path}\""))).collect();
    assert!(missing.is_empty(), "nothing keeps a pure crate from {missing:?}");
    // Theirs replace those of the workspace, which therefore stand in them.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml");
    let root = std::fs::read_to_string(root).expect("the workspace has rules");
    assert!(root.lines().all(|line| rules[0].contains(line)), "a setting of the workspace is not repeated");
}

#[test]
fn nothing_asks_for_a_newer_compiler_than_we_promise() {
    let metadata = with_all_features();
    let root = metadata.root_package().expect("the workspace has a root package");
    let promised = root.rust_version.clone().expect("the root package names its compiler");
    for package in &metadata.packages {
        if let Some(asked) = &package.rust_version {
            assert!(*asked <= promised, "{} {} asks for Rust {asked}", package.name, package.version);
        }
    }
}

#[test]
fn every_crate_takes_part_in_the_workspaces_rules() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest is readable");
        let name = &package.name;
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
        assert!(package.license.is_some() && package.description.is_some(), "{name} does not say what it is");
        let root = package.manifest_path.parent().expect("a manifest lies in a folder");
        assert!(root.join("README.md").exists(), "{name} has no README");
        let is_library = |target: &cargo_metadata::Target| target.kind.contains(&TargetKind::Lib);
        if let Some(library) = package.targets.iter().find(|target| is_library(target)) {
            let text = std::fs::read_to_string(&library.src_path).expect("a library is readable");
            assert!(text.starts_with("//! "), "{name} does not begin with what it is");
        }
    }
}
