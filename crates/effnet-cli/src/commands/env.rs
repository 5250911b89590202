//! `effnet env`.

use std::io::Write;

use serde::Serialize;

use crate::Outcome;
use crate::arguments::{EnvArguments, InspectFormat};
use crate::printer::counted;
use crate::torch::{Cuda, TorchCommands};
use crate::{handover, threads};

/// The information about the machine that a bug report needs.
#[derive(Serialize)]
struct Environment {
    effnet: &'static str,
    /// The path of the program with libtorch: this program, or the one in its folder; `null` if there is none.
    effnet_torch: Option<String>,
    /// The version of libtorch that `effnet-torch` is linked against; `null` if there is none.
    libtorch: Option<&'static str>,
    libtorch_folder: Option<String>,
    os: String,
    processor: String,
    features: Vec<&'static str>,
    cores: usize,
    threads: usize,
    #[serde(flatten)]
    cuda: Cuda,
}

pub(crate) fn run(arguments: &EnvArguments, torch: Option<&dyn TorchCommands>) -> anyhow::Result<Outcome> {
    let program = handover::program();
    // Only a program with libtorch knows what libtorch finds.
    let answer = match torch {
        Some(_) => None,
        None => program.as_deref().and_then(handover::ask_environment),
    };
    let field = |name: &str| {
        answer
            .as_ref()
            .and_then(|answer| answer.get(name)?.as_str().map(str::to_owned))
    };
    let environment = Environment {
        effnet: env!("CARGO_PKG_VERSION"),
        effnet_torch: match torch {
            Some(_) => std::env::current_exe().ok(),
            None => program,
        }
        .map(|path| path.display().to_string()),
        libtorch: (torch.is_some() || answer.is_some()).then_some(TORCH_VERSION),
        libtorch_folder: match torch {
            Some(torch) => torch.libtorch_folder(),
            None => field("libtorch_folder"),
        },
        os: format!("{} {}{}", std::env::consts::OS, std::env::consts::ARCH, kernel()),
        processor: processor(),
        features: features(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        threads: threads(None),
        cuda: match torch {
            Some(torch) => torch.cuda(),
            None => answer
                .and_then(|answer| serde_json::from_value(answer).ok())
                .unwrap_or_default(),
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
    let found = &environment.cuda;
    let cuda = match (found.cuda, found.cuda_devices) {
        (true, count) if found.cuda_graphs => format!("{}, graphs", counted(count, "device")),
        (true, count) => counted(count, "device"),
        (false, _) => "not available".to_owned(),
    };
    writeln!(out, "effnet       {}", environment.effnet)?;
    writeln!(
        out,
        "effnet-torch {}",
        environment
            .effnet_torch
            .as_deref()
            .unwrap_or("not in the same folder as effnet")
    )?;
    writeln!(out, "libtorch     {}", environment.libtorch.unwrap_or("none"))?;
    if let Some(folder) = &environment.libtorch_folder {
        writeln!(out, "             {folder}")?;
    }
    writeln!(out, "system       {}", environment.os)?;
    writeln!(
        out,
        "processor    {}, {}",
        environment.processor,
        counted(environment.cores, "core")
    )?;
    writeln!(out, "features     {}", environment.features.join(" "))?;
    writeln!(out, "threads      {}", environment.threads)?;
    writeln!(out, "cuda         {cuda}")?;
    if let Some(problem) = &found.cuda_problem {
        writeln!(out, "             {problem}")?;
    }
    Ok(())
}

/// The libtorch version that tch is generated for; torch-sys does not build against any other version.
const TORCH_VERSION: &str = "2.11.0";

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

/// Returns the available instruction sets that speed up a network.
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

/// Returns whether the processor has AMX. Detecting it needs an unstable Rust feature, but Linux lists it.
#[cfg(target_arch = "x86_64")]
fn amx() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("amx_bf16"))
}
