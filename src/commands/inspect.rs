//! `ctpipe inspect PATH...`: shows the contents of DICOM files, without a pipeline.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ctpipe_ct::series::slices;
use ctpipe_ct::sheet::{Picture, contact_sheet};
use ctpipe_ct::{
    Assessment, Code, Fit, Found, Header, Listing, Request, Rules, Scanned, Slice, Source, Text, Volume,
    assess, build, codec_name, nifti,
};
use ctpipe_stage::Stage;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::cli::{Global, Inspect};
use crate::context;
use crate::printed::{
    InspectedFiles, InspectedGeometry, InspectedQuality, InspectedSeries, InspectedStack, Unreadable,
};
use crate::terminal::{new_bar, print_json};

/// An error in the arguments.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

pub(crate) fn inspect(global: &Global, args: &Inspect) -> anyhow::Result<u8> {
    let settings = Settings::new(&global.set)?;
    let mut files: Vec<(PathBuf, Found)> = Vec::new();
    let bar = new_bar("inspect");
    let stop = context::stop_flag()?;
    for path in &args.paths {
        if !path.exists() {
            bar.finish_and_clear();
            let text =
                format!("{} does not exist; give a DICOM file, a folder or a zip archive", path.display());
            return Err(Usage(text).into());
        }
        let tell = |done: u64, total: u64| {
            bar.set_length(total);
            bar.set_position(done);
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                Err(ctpipe_phantom::Error::Interrupted)
            } else {
                Ok(())
            }
        };
        files.extend(Listing::of(path).read(&tell)?.into_iter().map(|found| (path.clone(), found)));
    }
    bar.finish_and_clear();
    let by_series = by_series(&files, args.series.as_deref())?;
    let inspected: Vec<Inspected<'_>> =
        by_series.into_values().map(|members| Inspected::new(&members, &files, &settings)).collect();
    let unreadable: Vec<Unreadable> =
        files.iter().filter_map(|(root, found)| unreadable(root, found)).collect();
    if global.json {
        let not_dicom = files.iter().filter(|(_, found)| matches!(found.what, Scanned::NotDicom));
        print_json(&InspectedFiles {
            series: inspected.iter().map(Inspected::printed).collect(),
            files: files.len(),
            not_dicom: not_dicom.count(),
            unreadable,
        })?;
        return write_files(args, &inspected);
    }
    for series in &inspected {
        series.print()?;
    }
    let mut out = io::stdout().lock();
    for Unreadable { path, problem } in &unreadable {
        writeln!(out, "unreadable: {path}: {problem}")?;
    }
    if inspected.is_empty() {
        writeln!(out, "no DICOM among {} files", files.len())?;
    }
    drop(out);
    write_files(args, &inspected)
}

/// The files of each series, by index; of one series only if it is selected.
fn by_series<'a>(
    files: &'a [(PathBuf, Found)],
    only: Option<&str>,
) -> Result<BTreeMap<&'a str, Vec<usize>>, Usage> {
    let mut by_series: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (_, found)) in files.iter().enumerate() {
        if let Some(header) = found.header() {
            by_series.entry(&header.series_uid).or_default().push(index);
        }
    }
    if let Some(uid) = only {
        by_series.retain(|found, _| *found == uid);
        if by_series.is_empty() {
            return Err(Usage(format!("there is no series {uid} in these files")));
        }
    }
    Ok(by_series)
}

fn unreadable(root: &Path, found: &Found) -> Option<Unreadable> {
    let Scanned::Unreadable(problem) = &found.what else { return None };
    let source = found.source(root, 0);
    let member = source.member.map(|m| format!(", member {m}")).unwrap_or_default();
    Some(Unreadable { path: format!("{}{member}", source.path.display()), problem: problem.clone() })
}

/// The settings of ingest and preprocess.
struct Settings {
    rules: Rules,
    request: Request,
}

impl Settings {
    /// The defaults of the stages, changed by `--set`.
    fn new(set: &[String]) -> anyhow::Result<Settings> {
        let stages: [&dyn Stage; 2] = [&ctpipe_ingest::Ingest, &ctpipe_preprocess::Preprocess];
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        for stage in stages {
            for param in stage.params() {
                values.insert(format!("{}.{}", stage.kind(), param.name), param.default_value());
            }
        }
        for text in set {
            let bad = |why: String| Usage(format!("--set {text}: {why}"));
            let (name, value) =
                text.split_once('=').ok_or_else(|| bad("write STAGE.PARAM=VALUE".to_owned()))?;
            let param = stages.iter().find_map(|stage| {
                let name = name.strip_prefix(stage.kind())?.strip_prefix('.')?;
                stage.params().iter().find(|param| param.name == name)
            });
            let param = param.ok_or_else(|| {
                bad("inspect knows the parameters of ingest and preprocess only".to_owned())
            })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            values.insert(name.to_owned(), param.accept(&value).map_err(bad)?);
        }
        for stage in stages {
            let own = stage.params().iter().filter_map(|param| {
                let value = values.get(&format!("{}.{}", stage.kind(), param.name))?;
                Some((param.name.to_owned(), value.clone()))
            });
            stage.check(&own.collect()).map_err(Usage)?;
        }
        let number = |name: &str| values.get(name).and_then(Value::as_f64).unwrap_or_default();
        let fit = values.get("preprocess.fit").and_then(Value::as_str).and_then(Fit::named);
        Ok(Settings {
            rules: Rules {
                min_slices: number("ingest.min_slices") as usize,
                min_thickness: number("ingest.min_slice_thickness"),
                max_thickness: number("ingest.max_slice_thickness"),
            },
            request: Request { size: number("preprocess.size") as usize, fit: fit.unwrap_or_default() },
        })
    }
}

/// One inspected series.
struct Inspected<'a> {
    first: &'a Header,
    files: usize,
    slices: usize,
    /// In slice order, if there is one; otherwise in file order.
    sources: Vec<Source>,
    assessment: Assessment,
    /// The volume, or the reason why there is none.
    volume: Result<Volume, Option<(String, &'static str)>>,
}

impl<'a> Inspected<'a> {
    fn new(members: &[usize], files: &'a [(PathBuf, Found)], settings: &Settings) -> Inspected<'a> {
        let own: Vec<&(PathBuf, Found)> = members.iter().map(|&index| &files[index]).collect();
        let headers: Vec<&Header> = own.iter().filter_map(|(_, found)| found.header()).collect();
        let members = slices(&headers);
        let all: Vec<Slice<'_>> = members.iter().map(|(_, _, slice)| *slice).collect();
        let source = |index: usize| {
            let (file, frame, _) = members[index];
            let (root, found) = own[file];
            found.source(root, frame)
        };
        let same = |a: usize, b: usize| source(a).same_pixels(&source(b));
        let assessment = assess(&all, &settings.rules, &same);
        let sources: Vec<Source> = match &assessment.stack {
            Some(_) => assessment.order.iter().map(|&index| source(index)).collect(),
            None => (0..members.len()).map(source).collect(),
        };
        let volume = match &assessment.stack {
            Some(stack) if !assessment.reasons.contains(&Code::RepeatedPosition) => {
                build(stack, &sources, settings.request).map_err(|e| Some((e.to_string(), e.code())))
            }
            _ => Err(None),
        };
        Inspected { first: headers[0], files: headers.len(), slices: all.len(), sources, assessment, volume }
    }

    fn reasons(&self) -> Vec<&'static str> {
        let mut reasons: Vec<&str> = self.assessment.reasons.iter().map(|code| code.as_str()).collect();
        if let Err(Some((_, code))) = &self.volume
            && !reasons.contains(code)
        {
            reasons.push(code);
        }
        reasons
    }

    fn status(&self) -> &'static str {
        if self.reasons().is_empty() { "accepted" } else { "rejected" }
    }

    fn problem(&self) -> Option<&str> {
        self.volume.as_ref().err()?.as_ref().map(|(problem, _)| problem.as_str())
    }

    fn printed(&self) -> InspectedSeries {
        let header = self.first;
        let own = |text: &Option<Text>| text.as_deref().map(str::to_owned);
        InspectedSeries {
            series_uid: header.series_uid.to_string(),
            study_uid: header.study_uid.to_string(),
            modality: header.modality.to_string(),
            image_type: header.image_types().map(str::to_owned).collect(),
            manufacturer: own(&header.manufacturer),
            model: own(&header.model),
            kernel: own(&header.kernel),
            kvp: header.kvp,
            age: header.age,
            sex: own(&header.sex),
            files: self.files,
            slices: self.slices,
            transfer_syntax: header.transfer_syntax.to_string(),
            codec: codec_name(&header.transfer_syntax),
            bits_stored: header.bits_stored,
            geometry: InspectedGeometry {
                rows: header.rows,
                columns: header.columns,
                slice_thickness_mm: self.assessment.slice_thickness,
                stack: self.assessment.stack.as_ref().map(InspectedStack::from),
            },
            quality: self.volume.as_ref().ok().map(|volume| InspectedQuality::from(&volume.quality)),
            status: self.status(),
            reasons: self.reasons(),
            warnings: self.assessment.warnings.iter().map(|code| code.as_str()).collect(),
            problem: self.problem().map(str::to_owned),
        }
    }

    fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let header = self.first;
        let uid: &str = if header.series_uid.is_empty() { "(no series UID)" } else { &header.series_uid };
        writeln!(out, "series {uid}: {}", self.status())?;
        for code in &self.assessment.reasons {
            writeln!(out, "  {:<24} {}", code.as_str(), code.doc())?;
        }
        if let Some(problem) = self.problem() {
            writeln!(out, "  {problem}")?;
        }
        for code in &self.assessment.warnings {
            writeln!(out, "  {:<24} {}", code.as_str(), code.doc())?;
        }
        let machine: Vec<&str> = [&header.manufacturer, &header.model, &header.kernel]
            .into_iter()
            .flatten()
            .map(|text| &**text)
            .collect();
        writeln!(
            out,
            "  {} slices of {} x {} in {} files, {}, {} bits, {} {}",
            self.slices,
            header.rows,
            header.columns,
            self.files,
            codec_name(&header.transfer_syntax),
            header.bits_stored,
            header.modality,
            machine.join(", ")
        )?;
        if let Some(stack) = &self.assessment.stack {
            let [row, column] = stack.pixel_spacing;
            let spacing = stack.spacing().map(|s| format!(", slices {s:.3} mm apart")).unwrap_or_default();
            let tilt = stack.tilt();
            let tilt = if tilt > 0.5 { format!(", gantry tilt {tilt:.1} degrees") } else { String::new() };
            let name = stack.directions.plane_name();
            writeln!(out, "  {name}, pixels {row:.3} x {column:.3} mm{spacing}{tilt}")?;
        }
        if let Ok(volume) = &self.volume {
            let q = &volume.quality;
            let hu = |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.0} HU"));
            let [x, y, z] = q.coverage_mm;
            writeln!(
                out,
                "  {x:.0} x {y:.0} x {z:.0} mm, {:.0}..{:.0} HU, air {}, soft tissue {}, noise {}, padding {:.1} %",
                q.min_hu,
                q.max_hu,
                hu(q.air_hu),
                hu(q.soft_tissue_hu),
                hu(q.noise_hu),
                100.0 * q.padding_share
            )?;
            if !q.flags.is_empty() {
                let flags: Vec<&str> = q.flags.iter().map(|flag| flag.as_str()).collect();
                writeln!(out, "  flags: {}", flags.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Writes the selected files, after the findings have been printed.
fn write_files(args: &Inspect, inspected: &[Inspected<'_>]) -> anyhow::Result<u8> {
    if args.nifti.is_none() && args.png.is_none() {
        return Ok(0);
    }
    let series = the_one(inspected)?;
    if let Some(path) = &args.nifti {
        let stack = series.assessment.stack.as_ref().ok_or_else(|| {
            Usage(
                "the series has no geometry to write as NIfTI; position, orientation or spacing is missing"
                    .into(),
            )
        })?;
        let thickness = series.assessment.slice_thickness.unwrap_or(1.0);
        let zipped = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
        // The file has another name until it is complete: a partial volume could pass for a whole
        // one.
        let part = path.with_added_extension("part");
        let create = || -> io::Result<Box<dyn Write>> {
            let file = BufWriter::new(File::create(&part)?);
            Ok(if zipped {
                Box::new(Gzip(GzEncoder::new(file, Compression::fast())))
            } else {
                Box::new(file)
            })
        };
        let written = nifti::write(stack, &series.sources, thickness, &create);
        if let Err(error) = written {
            let _ = std::fs::remove_file(&part);
            let doing = match error {
                nifti::NiftiError::Write(_) => format!("cannot write {}", path.display()),
                nifti::NiftiError::Volume(_) => "the series cannot be written as NIfTI".to_owned(),
            };
            return Err(anyhow::Error::from(error).context(doing));
        }
        std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.png {
        let picture = contact_sheet(&series.sources, series.volume.as_ref().ok())
            .with_context(|| "cannot draw the series".to_owned())?;
        write_png(path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(0)
}

/// A gzip stream that ends at its only flush, which comes last.
struct Gzip<W: Write>(GzEncoder<W>);

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.try_finish()?;
        self.0.get_mut().flush()
    }
}

/// The only series, or the only accepted one.
fn the_one<'a, 'b>(inspected: &'b [Inspected<'a>]) -> Result<&'b Inspected<'a>, Usage> {
    let accepted: Vec<&Inspected<'_>> = inspected.iter().filter(|s| s.status() == "accepted").collect();
    match (inspected, accepted.as_slice()) {
        ([one], _) => Ok(one),
        (_, [one]) => Ok(one),
        ([], _) => Err(Usage("there is no series to write".to_owned())),
        _ => Err(Usage(format!("there are {} series; choose one with --series UID", inspected.len()))),
    }
}

fn write_png(path: &Path, picture: &Picture) -> anyhow::Result<()> {
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(())
}
