//! The digits: 8x8 grey images with a label, and the CSV that carries them.
//!
//! Refuses what the format does not allow, and names the line and the column.

use crate::excerpt::excerpt;

/// Pixels of one image: 8 rows of 8, row by row from the top left.
pub const PIXELS: usize = 64;

/// The highest value of a pixel: 0 is paper, 16 is ink.
pub const PIXEL_MAX: u8 = 16;

/// Labels are the digits `0..CLASSES`.
pub const CLASSES: usize = 10;

/// The longest CSV that is read, in bytes: some hundred thousand images.
pub const MAX_CSV_BYTES: usize = 16 * 1024 * 1024;

/// One labelled image. Its pixels are in `0..=PIXEL_MAX`, its label is below `CLASSES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pixels: [u8; PIXELS],
    label: u8,
}

/// Why a sample cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A pixel beyond the grey scale.
    #[error("pixel {index} is {value}; pixels are 0 to {PIXEL_MAX}: scale the image to that range")]
    Pixel {
        /// Which one, from 0.
        index: usize,
        /// What it holds.
        value: u8,
    },
    /// A label that is no digit.
    #[error("the label is {label}; labels are 0 to 9")]
    Label {
        /// What was given.
        label: u8,
    },
}

impl Sample {
    /// Joins an image and its label.
    ///
    /// # Errors
    /// A pixel above [`PIXEL_MAX`] or a label of [`CLASSES`] or more.
    pub fn new(pixels: [u8; PIXELS], label: u8) -> Result<Self, SampleError> {
        if let Some(index) = pixels.iter().position(|&pixel| pixel > PIXEL_MAX) {
            return Err(SampleError::Pixel { index, value: pixels[index] });
        }
        if usize::from(label) >= CLASSES {
            return Err(SampleError::Label { label });
        }
        Ok(Self { pixels, label })
    }

    /// The image, row by row, each pixel in `0..=PIXEL_MAX`.
    pub fn pixels(&self) -> &[u8; PIXELS] {
        &self.pixels
    }

    /// The digit that it shows, `0..CLASSES`.
    pub fn label(&self) -> u8 {
        self.label
    }
}

/// Why a CSV of digits cannot be read. Lines and columns are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Longer than [`MAX_CSV_BYTES`].
    #[error("the CSV has {found} bytes; at most {MAX_CSV_BYTES} are read: split it")]
    TooLarge {
        /// Its length.
        found: usize,
    },
    /// No rows at all.
    #[error("the CSV is empty; expected rows of 64 pixels and a label")]
    Empty,
    /// A row that is too short or too long.
    #[error("line {line} has {found} columns; expected 64 pixels and a label, 65 in all")]
    Columns {
        /// The row.
        line: usize,
        /// How many columns it has.
        found: usize,
    },
    /// Something that is no whole number.
    #[error("line {line}, column {column}: expected a whole number, found {found}")]
    NotANumber {
        /// The row.
        line: usize,
        /// The column.
        column: usize,
        /// The field, shortened.
        found: String,
    },
    /// A pixel or a label out of its range.
    #[error("line {line}, column {column}: expected 0 to {highest}, found {found}")]
    OutOfRange {
        /// The row.
        line: usize,
        /// The column: 1 to 64 are pixels, 65 is the label.
        column: usize,
        /// The highest value allowed there.
        highest: u8,
        /// The value.
        found: u64,
    },
}

/// Reads rows of 64 pixels (0 to 16) and a label (0 to 9), separated by commas, without a header.
///
/// Lines end with LF or CRLF; the last may lack it. Numbers are plain decimal digits: no sign, space or quotes.
///
/// # Errors
/// The first thing that is wrong, from the top left.
pub fn parse_csv(bytes: &[u8]) -> Result<Vec<Sample>, CsvError> {
    if bytes.len() > MAX_CSV_BYTES {
        return Err(CsvError::TooLarge { found: bytes.len() });
    }
    let rows = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if rows.is_empty() {
        return Err(CsvError::Empty);
    }
    rows.split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(index, row)| parse_row(index + 1, row.strip_suffix(b"\r").unwrap_or(row)))
        .collect()
}

fn parse_row(line: usize, row: &[u8]) -> Result<Sample, CsvError> {
    let found = row.split(|&byte| byte == b',').count();
    if found != PIXELS + 1 {
        return Err(CsvError::Columns { line, found });
    }
    let mut pixels = [0; PIXELS];
    let mut label = 0;
    for (index, field) in row.split(|&byte| byte == b',').enumerate() {
        let column = index + 1;
        match pixels.get_mut(index) {
            Some(pixel) => *pixel = parse_field(line, column, field, PIXEL_MAX)?,
            None => label = parse_field(line, column, field, CLASSES as u8 - 1)?,
        }
    }
    Ok(Sample { pixels, label })
}

fn parse_field(line: usize, column: usize, field: &[u8], highest: u8) -> Result<u8, CsvError> {
    let not_a_number = || CsvError::NotANumber { line, column, found: excerpt(field) };
    if !field.iter().all(u8::is_ascii_digit) {
        return Err(not_a_number());
    }
    let found: u64 =
        std::str::from_utf8(field).ok().and_then(|text| text.parse().ok()).ok_or_else(not_a_number)?;
    match u8::try_from(found) {
        Ok(value) if value <= highest => Ok(value),
        _ => Err(CsvError::OutOfRange { line, column, highest, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn csv_of(samples: &[Sample]) -> String {
        samples
            .iter()
            .map(|sample| {
                let pixels: Vec<String> = sample.pixels.iter().map(u8::to_string).collect();
                format!("{},{}\n", pixels.join(","), sample.label)
            })
            .collect()
    }

    fn row_with(column: usize, field: &str) -> String {
        let mut fields = vec!["0"; 65];
        fields[column - 1] = field;
        fields.join(",")
    }

    #[test]
    fn every_fault_is_named_by_line_and_column() {
        let good = row_with(1, "16");
        let second = |row: &str| parse_csv(format!("{good}\n{row}\n").as_bytes()).unwrap_err();

        assert_eq!(parse_csv(b""), Err(CsvError::Empty));
        assert_eq!(parse_csv(b"\n"), Err(CsvError::Empty));
        assert_eq!(second(""), CsvError::Columns { line: 2, found: 1 });
        assert_eq!(second(&format!("{good},1")), CsvError::Columns { line: 2, found: 66 });
        for field in ["", " 1", "+1", "-1", "1.0", "\"1\"", "x", "99999999999999999999999"] {
            let found = excerpt(field.as_bytes());
            assert_eq!(second(&row_with(7, field)), CsvError::NotANumber { line: 2, column: 7, found });
        }
        assert_eq!(
            second(&row_with(64, "17")),
            CsvError::OutOfRange { line: 2, column: 64, highest: 16, found: 17 }
        );
        assert_eq!(
            second(&row_with(65, "10")),
            CsvError::OutOfRange { line: 2, column: 65, highest: 9, found: 10 }
        );
        assert_eq!(
            second(&row_with(3, "256")).to_string(),
            "line 2, column 3: expected 0 to 16, found 256",
            "a value must not wrap around a byte"
        );
        assert_eq!(
            parse_csv(&vec![b'0'; MAX_CSV_BYTES + 1]),
            Err(CsvError::TooLarge { found: MAX_CSV_BYTES + 1 })
        );
    }

    #[test]
    fn both_line_ends_and_a_missing_last_one_are_read() {
        let row = row_with(65, "9");
        let expected = Ok(vec![Sample { pixels: [0; 64], label: 9 }; 2]);
        for text in [format!("{row}\n{row}\n"), format!("{row}\r\n{row}\r\n"), format!("{row}\n{row}")] {
            assert_eq!(parse_csv(text.as_bytes()), expected);
        }
    }

    #[test]
    fn a_sample_holds_only_what_the_format_allows() {
        assert!(Sample::new([PIXEL_MAX; PIXELS], 9).is_ok());
        assert_eq!(Sample::new([0; PIXELS], 10), Err(SampleError::Label { label: 10 }));
        let mut pixels = [0; PIXELS];
        pixels[63] = 17;
        assert_eq!(Sample::new(pixels, 0), Err(SampleError::Pixel { index: 63, value: 17 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            rows in prop::collection::vec((prop::collection::vec(0..=PIXEL_MAX, PIXELS), 0..10_u8), 1..20)
        ) {
            let samples: Vec<Sample> = rows
                .into_iter()
                .map(|(pixels, label)| Sample::new(pixels.try_into().unwrap(), label).unwrap())
                .collect();
            prop_assert_eq!(parse_csv(csv_of(&samples).as_bytes()), Ok(samples));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_csv(&bytes);
        }
    }
}
