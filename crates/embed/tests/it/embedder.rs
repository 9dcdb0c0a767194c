use std::fs;

use embed::{
    EmbedConfig, EmbedErrorKind, Embedder, Kernel, LocalModel, Precision, ProviderConfig, TextKind,
    bench, bundled_model,
};

fn hash(dims: usize) -> Embedder {
    Embedder::start(EmbedConfig {
        threads: 3,
        batch_tokens_max: 16,
        queue_max: 2,
        ..EmbedConfig::new(ProviderConfig::Hash { dims })
    })
    .expect("start")
}

#[test]
fn results_keep_the_order_of_the_texts() {
    let embedder = hash(64);
    // Far more batches than the queue holds.
    let texts: Vec<String> = (0..200)
        .map(|n| format!("{n} {}", "word ".repeat(n * 7 % 30)))
        .collect();
    let together = embedder.embed_passages(texts.clone());
    assert_eq!(together.len(), texts.len());
    for (text, vector) in texts.into_iter().zip(together) {
        let alone = embedder.embed_passages(vec![text]);
        assert_eq!(
            alone[0].as_ref().expect("alone"),
            &vector.expect("together")
        );
    }
    assert!(embedder.embed_passages(Vec::new()).is_empty());
    assert_eq!(embedder.stats().texts, 400);
}

#[test]
fn hash_vectors_are_alike_for_texts_that_share_words() {
    let embedder = hash(256);
    assert_eq!((embedder.dims(), embedder.model_id()), (256, "hash-256"));
    let vector = |text: &str| embedder.embed_query(text).expect("vector");
    let cosine =
        |a: &str, b: &str| -> f32 { vector(a).iter().zip(vector(b)).map(|(x, y)| x * y).sum() };
    assert!(cosine("red apple pie", "Apple pie, RED!") > 0.999);
    assert!(cosine("red apple pie", "green apple pie") > 0.4);
    assert!(cosine("red apple pie", "quantum field theory") < 0.3);
    assert!((cosine("", "") - 1.0).abs() < 1e-6);
    for dims in [0, 5000] {
        let config = EmbedConfig::new(ProviderConfig::Hash { dims });
        let error = Embedder::start(config).expect_err("must fail");
        assert_eq!(error.kind(), EmbedErrorKind::Config);
    }
}

#[test]
fn a_stopped_embedder_says_so() {
    let embedder = hash(8);
    let clone = embedder.clone();
    embedder.stop();
    clone.stop();
    let passages = clone.embed_passages(vec!["a".to_owned(), "b".to_owned()]);
    assert!(passages.iter().all(|r| {
        r.as_ref()
            .is_err_and(|e| e.kind() == EmbedErrorKind::Stopped)
    }));
    let query = clone.embed_query("a").expect_err("stopped");
    assert_eq!(query.kind(), EmbedErrorKind::Stopped);
}

#[test]
fn the_bundled_model_through_the_handle() {
    let embedder = Embedder::start(EmbedConfig {
        batch_tokens_max: 40,
        ..EmbedConfig::default()
    })
    .expect("start");
    let model = LocalModel::bundled(Precision::Int8(Kernel::detect())).expect("bundled");
    assert_eq!((embedder.dims(), embedder.model_id()), (384, model.id()));
    let unstarted = Embedder::identify(&ProviderConfig::Local {
        model_path: None,
        f32: false,
    });
    assert_eq!(unstarted.expect("identified"), model.id());
    let texts = [
        "کتابخانه باز است",
        "a",
        "The library is open every day of the week.",
    ];
    let expected = model.embed_texts(&texts, TextKind::Passage);
    let got = embedder.embed_passages(texts.iter().map(|t| (*t).to_owned()).collect());
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got.as_ref().expect("vector"), expected);
    }
    let query = embedder.embed_query("library").expect("vector");
    assert_eq!(query, model.embed_texts(&["library"], TextKind::Query)[0]);
    assert_eq!(
        embedder.count_tokens("library"),
        model.count_tokens("library")
    );
    let stats = embedder.stats();
    assert_eq!(stats.texts, 4);
    let tokens = |text: &str, kind| model.tokenize(text, kind).len() as u64;
    let passages: u64 = texts.iter().map(|t| tokens(t, TextKind::Passage)).sum();
    assert_eq!(stats.tokens, passages + tokens("library", TextKind::Query));
}

#[test]
fn identity_follows_the_weights_not_the_path() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("renamed.bin");
    fs::write(&path, bundled_model()).expect("write");
    let start = |model_path, f32| {
        Embedder::start(EmbedConfig::new(ProviderConfig::Local { model_path, f32 }))
    };
    let file = start(Some(path.clone()), false).expect("start");
    let bundled = start(None, false).expect("start");
    assert_eq!(file.model_id(), bundled.model_id());
    let exact = start(None, true).expect("start");
    assert_ne!(exact.model_id(), bundled.model_id());
    // The file is mapped while in use.
    drop(file);
    fs::write(&path, b"nothing").expect("write");
    let error = start(Some(path), false).expect_err("not a model");
    assert_eq!(error.kind(), EmbedErrorKind::Model);
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn the_bench_measures_every_build() {
    let report = bench(0.1).expect("bench");
    let kernels: Vec<Kernel> = report.kernels.iter().map(|k| k.kernel).collect();
    let supported: Vec<Kernel> = Kernel::ALL
        .into_iter()
        .filter(|k| k.is_supported())
        .collect();
    assert_eq!(kernels, supported);
    assert_eq!(report.kernel, Kernel::detect());
    for kernel in &report.kernels {
        assert!(
            kernel.tokens_per_s_core > 0.0 && kernel.share > 0.0,
            "{kernel:?}"
        );
    }
    assert!(report.cosine_to_f32 >= 0.995, "{}", report.cosine_to_f32);
    assert!(report.load_ms > 0.0 && report.query_ms > 0.0);
}
