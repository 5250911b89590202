//! `effnet env`.

use std::io::Write;

use libtorch_ext::{CudaGraph, load_cuda};
use serde::Serialize;
use tch::Cuda;

use crate::Outcome;
use crate::arguments::{EnvArguments, InspectFormat};

/// What a bug report should say about the machine.
#[derive(Serialize)]
struct Environment {
    effnet: &'static str,
    libtorch: &'static str,
    libtorch_folder: Option<&'static str>,
    os: String,
    processor: String,
    features: Vec<&'static str>,
    cores: usize,
    threads: i32,
    cuda: bool,
    cuda_devices: i64,
    cuda_graphs: bool,
    /// What keeps a driver that is there from being used, or used in full.
    cuda_problem: Option<String>,
}

pub(crate) fn run(arguments: &EnvArguments) -> anyhow::Result<Outcome> {
    // Before anything else asks libtorch.
    let loaded = load_cuda(None);
    let environment = Environment {
        effnet: env!("CARGO_PKG_VERSION"),
        libtorch: torch_version(),
        libtorch_folder: option_env!("EFFNET_LIBTORCH_LIB"),
        os: format!("{} {}{}", std::env::consts::OS, std::env::consts::ARCH, kernel()),
        processor: processor(),
        features: features(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        threads: tch::get_num_threads(),
        cuda: Cuda::is_available(),
        cuda_devices: Cuda::device_count(),
        cuda_graphs: CudaGraph::available().is_ok(),
        cuda_problem: match loaded {
            Ok(true) if Cuda::is_available() => CudaGraph::available().err().map(|error| error.to_string()),
            Ok(true) => Some("there is a driver, and libtorch finds no device".to_owned()),
            Ok(false) => None,
            Err(error) => Some(error.to_string()),
        },
    };
    let mut stdout = std::io::stdout();
    match arguments.format {
        InspectFormat::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(&environment)?)?,
        InspectFormat::Text => write_text(&mut stdout, &environment)?,
    }
    Ok(Outcome::Done)
}

fn write_text(out: &mut impl Write, environment: &Environment) -> std::io::Result<()> {
    let cuda = match (environment.cuda, environment.cuda_devices) {
        (true, count) if environment.cuda_graphs => format!("{count} devices, graphs"),
        (true, count) => format!("{count} devices"),
        (false, _) => "not available".to_owned(),
    };
    writeln!(out, "effnet       {}", environment.effnet)?;
    writeln!(out, "libtorch     {}", environment.libtorch)?;
    if let Some(folder) = environment.libtorch_folder {
        writeln!(out, "             {folder}")?;
    }
    writeln!(out, "system       {}", environment.os)?;
    writeln!(
        out,
        "processor    {}, {} cores",
        environment.processor, environment.cores
    )?;
    writeln!(out, "features     {}", environment.features.join(" "))?;
    writeln!(out, "threads      {}", environment.threads)?;
    writeln!(out, "cuda         {cuda}")?;
    if let Some(problem) = &environment.cuda_problem {
        writeln!(out, "             {problem}")?;
    }
    Ok(())
}

/// The libtorch that tch was generated for; torch-sys refuses to build against any other.
fn torch_version() -> &'static str {
    "2.11.0"
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|release| format!(", kernel {}", release.trim()))
        .unwrap_or_default()
}

fn processor() -> String {
    let found = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    found.unwrap_or_else(|| "unknown".to_owned())
}

/// The instruction sets that decide how fast a network runs.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
            ("amx", amx()),
        ];
        known
            .into_iter()
            .filter(|(_, found)| *found)
            .map(|(name, _)| name)
            .collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// Rust cannot ask for AMX yet without an unstable feature; Linux lists it.
#[cfg(target_arch = "x86_64")]
fn amx() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("amx_bf16"))
}
