use std::fs;
use std::path::Path;

use embed::{
    LocalModel, ModelErrorKind, Precision, Script, ScriptSet, TextKind, bundled_model, inspect,
    install, prune,
};

fn kind_of<T: std::fmt::Debug>(result: Result<T, embed::ModelError>) -> ModelErrorKind {
    let error = result.expect_err("must fail");
    let text = error.to_string();
    assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
    error.kind()
}

#[test]
fn broken_files_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("model.bin");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("write");
        kind_of(LocalModel::open(&path, Precision::F32))
    };
    assert_eq!(open(b""), ModelErrorKind::NotAModel);
    assert_eq!(open(b"<!doctype html>"), ModelErrorKind::NotAModel);
    assert_eq!(open(b"E5S1"), ModelErrorKind::Corrupt);
    assert_eq!(open(&bundled_model()[..1000]), ModelErrorKind::Corrupt);
    let mut altered = bundled_model().to_vec();
    // A weight: the structure stays sound, only the checksum can tell.
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert_eq!(open(&altered), ModelErrorKind::Corrupt);
    let missing = folder.path().join("missing.bin");
    assert_eq!(kind_of(inspect(&missing)), ModelErrorKind::Io);
    assert_eq!(kind_of(inspect(folder.path())), ModelErrorKind::Io);
}

#[test]
fn a_pruned_file_is_smaller_and_agrees_on_what_it_kept() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("source.bin");
    fs::write(&source, bundled_model()).expect("write");
    let small = folder.path().join("small.bin");
    let keep = ScriptSet {
        scripts: vec![Script::Latin, Script::Arabic],
        favoured: vec![Script::Arabic],
        bytes_max: 30_000_000,
    };
    let report = prune(&source, &small, &keep).expect("prune");
    assert!(
        report.bytes <= 30_000_000 && report.bytes > 29_900_000,
        "{report:?}"
    );
    assert_eq!(
        report.pieces_before - report.dropped_by_script - report.dropped_by_score,
        report.pieces_after
    );
    let info = inspect(&small).expect("inspect");
    assert_eq!(info.sha256, report.sha256);
    assert_eq!(
        (info.vocab, info.bytes),
        (report.pieces_after, report.bytes)
    );
    assert!(info.pruned && info.dims == 384 && info.layers == 12);

    let whole = LocalModel::bundled(Precision::F32).expect("bundled");
    let part = LocalModel::open(&small, Precision::F32).expect("pruned");
    assert_ne!(whole.id(), part.id());
    let persian = "کتاب‌های کتابخانه";
    assert_eq!(whole.pieces(persian), part.pieces(persian));
    assert_eq!(
        whole.embed_texts(&[persian], TextKind::Query),
        part.embed_texts(&[persian], TextKind::Query)
    );
    let cyrillic = part.pieces("библиотека");
    assert!(cyrillic.len() > whole.pieces("библиотека").len());
    assert!(
        cyrillic.iter().all(|p| !p.unknown),
        "single characters stay"
    );
}

#[test]
fn pruning_to_everything_changes_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("source.bin");
    fs::write(&source, bundled_model()).expect("write");
    let copy = folder.path().join("copy.bin");
    let report = prune(&source, &copy, &ScriptSet::all()).expect("prune");
    assert_eq!(report.pieces_before, report.pieces_after);
    assert!(fs::read(&copy).expect("read") == bundled_model());
}

#[test]
fn a_limit_below_the_encoder_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("source.bin");
    fs::write(&source, bundled_model()).expect("write");
    let keep = ScriptSet {
        bytes_max: 1_000_000,
        ..ScriptSet::bundled()
    };
    let target = folder.path().join("small.bin");
    assert_eq!(
        kind_of(prune(&source, &target, &keep)),
        ModelErrorKind::TooLarge
    );
    assert!(!target.exists());
    // A folder as the target, and no half-written file left behind.
    assert_eq!(
        kind_of(prune(&source, folder.path(), &ScriptSet::bundled())),
        ModelErrorKind::Io
    );
    assert_eq!(files_in(folder.path()), ["source.bin"]);
}

#[test]
fn only_whole_models_are_installed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = folder.path().join("anything.bin");
    let models = folder.path().join("data").join("models");
    fs::write(&source, b"not a model").expect("write");
    assert_eq!(
        kind_of(install(&source, &models)),
        ModelErrorKind::NotAModel
    );
    assert!(!models.exists());
    fs::write(&source, bundled_model()).expect("write");
    let installed = install(&source, &models).expect("install");
    assert_eq!(
        inspect(&installed).expect("inspect"),
        inspect(&source).expect("inspect")
    );
    let again = install(&source, &models).expect("install over it");
    assert_eq!(again, installed);
    assert_eq!(files_in(&models), ["multilingual-e5-small.bin"]);
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
