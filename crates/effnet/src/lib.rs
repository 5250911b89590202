#![doc = include_str!("../README.md")]

mod backend;
mod batch_size;
mod class_match;
mod class_name;
mod contexts;
mod derived;
mod engine;
mod error;
mod explain;
mod failure;
mod fold;
mod hub_folder;
mod index_source;
mod keras;
mod labels;
mod memory;
mod metadata;
mod mirrored;
mod model;
mod model_file;
mod model_options;
mod naming;
mod network_tensors;
mod parameters;
mod pipeline;
mod prediction;
mod preprocessing;
mod profile_evidence;
mod published_names;
mod record;
mod stated_constants;
mod zoo;

pub use backend::{Backend, BackendError, Images, Pending, Rows};
pub use batch_size::{BatchDemand, MemoryNeed};
pub use class_match::{ClassMatchError, match_classes};
pub use class_name::UnknownClass;
pub use derived::{DeriveError, DerivedWeights, WeightAverage};
pub use effnet_architecture::{
    Config, CropMode, Error as ArchitectureError, Interpolation, NamingError, Precision, Preprocessing,
    Profile, Scheme, Signature, Task, TensorShapes, Variant,
};
pub use effnet_checkpoint::{
    Checkpoint, DType, Error as CheckpointError, OpenOptions, StateDict, Tensor, TensorError,
};
pub use effnet_data::{BoxError, DecodeFailure, Decoded};
#[cfg(feature = "plots")]
pub use effnet_data::{DisplayedPhoto, PlotError};
pub use effnet_hub::{Entry, Error as HubError, Hub, HubConfig, Manifest, Progress, RepositoryNameError};
pub use effnet_image::{
    DecodeOptions, EvalTransform, Image, ImageError, ImageWarning, Region, ResizeMode, is_image_path,
};
pub use effnet_kernels::{Endpoint, Error as KernelsError, Layer, Layers};
pub use effnet_search::{
    FeatureIndex, FileStamp, IndexError, IndexSource, IndexWriter, Neighbor, RowReader, normalize,
};
pub use engine::{EndpointOutput, Engine, EngineOptions};
pub use error::Error;
pub use explain::{
    ClassMap, ExplainError, ExplainMethod, ExplainOptions, ExplainedClasses, Explainer, Explanation,
    Gradients, LayerGradients, MOST_EXPLAINED_CLASSES,
};
pub use failure::{Failure, FailureKind, finite_features};
pub use hub_folder::{HubFolderError, HubModel};
pub use keras::{keras_has, keras_normalisation, keras_weights};
pub use labels::{Labels, LabelsError};
pub use memory::available_memory;
pub use metadata::{MetadataError, ModelMetadata};
pub use mirrored::Mirrored;
pub use model::{Model, Outcome};
pub use model_file::ModelFile;
pub use model_options::ModelOptions;
pub use naming::EfficientNetNames;
pub use parameters::{LoadError, LoadOptions, LoadReport, Mismatch, Parameters, WrongShape};
pub use pipeline::{Output, Pipeline, Reader, Source};
pub use prediction::{Estimate, NotFinite, Prediction, above_threshold, check_finite, estimate, rank};
pub use preprocessing::{PreprocessingOverrides, transform, transform_of_variant};
pub use profile_evidence::ProfileSource;
pub use record::{Area, ExplainedRecord, FeaturesRecord, Record, SCHEMA};
pub use zoo::{ModelName, Weights, WeightsContent, Zoo};
