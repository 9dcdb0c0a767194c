//! Q4_0 blocks, as GGML lays them out: 32 weights in 18 bytes, an f16 scale
//! and 16 bytes whose low nibbles are weights 0-15 and high nibbles 16-31,
//! each stored with 8 added.

/// Weights per block.
pub(crate) const BLOCK: usize = 32;
/// Bytes per block.
pub(crate) const BLOCK_BYTES: usize = 18;

/// Bytes of a row of `weights` weights.
pub(crate) const fn row_bytes(weights: usize) -> usize {
    weights / BLOCK * BLOCK_BYTES
}

/// Dequantises one row. `out.len()` is the number of weights.
pub(crate) fn dequantize_row(row: &[u8], out: &mut [f32]) {
    assert_eq!(row.len(), row_bytes(out.len()), "bug: row of another shape");
    for (block, out) in row
        .as_chunks::<BLOCK_BYTES>()
        .0
        .iter()
        .zip(out.as_chunks_mut::<BLOCK>().0)
    {
        let scale = f16_to_f32(u16::from_le_bytes([block[0], block[1]]));
        for j in 0..BLOCK / 2 {
            let byte = block[2 + j];
            out[j] = f32::from((byte & 15) as i8 - 8) * scale;
            out[j + 16] = f32::from((byte >> 4) as i8 - 8) * scale;
        }
    }
}

/// IEEE 754 half to single precision.
pub(crate) fn f16_to_f32(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10) & 31;
    let mantissa = u32::from(half) & 0x3ff;
    match exponent {
        // Zero and subnormals: mantissa * 2^-24, exact in f32.
        0 => {
            let magnitude = mantissa as f32 * (1.0 / 16_777_216.0);
            f32::from_bits(sign | magnitude.to_bits())
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | mantissa << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_every_class() {
        let check = |half: u16, expected: f32| assert_eq!(f16_to_f32(half), expected, "{half:#x}");
        check(0x0000, 0.0);
        check(0x3c00, 1.0);
        check(0xc000, -2.0);
        check(0x7bff, 65504.0);
        check(0x0001, 2f32.powi(-24));
        check(0x03ff, 1023.0 * 2f32.powi(-24));
        check(0x0400, 2f32.powi(-14));
        check(0x3555, 0.333_251_95);
        check(0xfc00, f32::NEG_INFINITY);
        assert!(f16_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn nibbles_in_ggml_order() {
        let mut row = [0u8; 18];
        row[..2].copy_from_slice(&0x4000u16.to_le_bytes());
        for (j, byte) in row[2..].iter_mut().enumerate() {
            *byte = (j as u8) | ((15 - j as u8) << 4);
        }
        let mut out = [0f32; 32];
        dequantize_row(&row, &mut out);
        for j in 0..16 {
            assert_eq!(out[j], (j as f32 - 8.0) * 2.0);
            assert_eq!(out[j + 16], (7.0 - j as f32) * 2.0);
        }
    }
}
