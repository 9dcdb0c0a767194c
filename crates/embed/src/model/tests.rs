use super::*;
use crate::bundled::bundled_model;

#[test]
fn bundled_file_matches_its_checksum() {
    let bytes = bundled_model();
    assert!(bytes.len() <= 50_000_000);
    let parsed = Parsed::parse(bytes).expect("bundled file");
    assert!(parsed.pruned);
    assert_eq!(parsed.checksum, Some(checksum_of(bytes)));
}

#[test]
fn checksum_skips_its_own_place_however_the_file_is_cut() {
    let bytes: Vec<u8> = (0..300u16).map(|i| i as u8).collect();
    let expected = blake3::hash(&[&bytes[..96], &bytes[128..]].concat());
    for cut in [1, 7, 96, 100, 128, 299, 300] {
        let mut checksum = native::Checksum::new();
        bytes.chunks(cut).for_each(|piece| checksum.update(piece));
        assert_eq!(checksum.finish(), *expected.as_bytes(), "pieces of {cut}");
    }
}

#[test]
fn a_file_cut_short_is_corrupt_wherever_it_is_cut() {
    let bytes = bundled_model();
    for cut in [8, 9, 40, 127, 128, 129, 5_000, 2_000_000, bytes.len() - 1] {
        let error = Parsed::parse(&bytes[..cut]).expect_err("cut short");
        assert_eq!(error.kind(), ModelErrorKind::Corrupt, "{cut}: {error}");
    }
    for cut in [0, 1, 7] {
        let error = Parsed::parse(&bytes[..cut]).expect_err("cut short");
        assert_eq!(error.kind(), ModelErrorKind::NotAModel, "{cut}: {error}");
    }
}

#[test]
fn damage_to_structure_is_an_error_or_harmless_but_never_a_panic() {
    // The header, the first pieces, and nothing of the tensors: those are numbers.
    let mut bytes = bundled_model().to_vec();
    let mut errors = 0;
    for step in 0..60usize {
        let at = if step < 22 {
            8 + step * 4
        } else {
            128 + (step * 7919) % 4000
        };
        let before = bytes[at];
        bytes[at] = before.wrapping_add(1 + (step * 37 % 254) as u8);
        errors += usize::from(Parsed::parse(&bytes).is_err());
        bytes[at] = before;
    }
    assert!(errors > 15, "only {errors} of 60 were noticed");
    assert!(Parsed::parse(&bytes).is_ok());
}

#[test]
fn an_unknown_version_is_unsupported() {
    let mut bytes = bundled_model()[..4096].to_vec();
    bytes[8] = 2;
    let error = Parsed::parse(&bytes).expect_err("version 2");
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
    let error = Parsed::parse(b"E5S1\x07\0\0\0").expect_err("version 7");
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
}
