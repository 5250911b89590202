//! `config.json` of timm's folders.

use effnet_architecture::{Family, Padding, Profile, Variant};
use serde_json::{Value, json};

use super::{HubFolderError, HubModel, fraction};

/// Returns the configuration from which `timm.create_model("local-dir:...")` builds the network.
pub(super) fn config(model: &HubModel) -> Result<Value, HubFolderError> {
    let config = model.config();
    let preprocessing = &model.preprocessing;
    let size = preprocessing.image_size;
    if preprocessing.resize_to() < size {
        return Err(HubFolderError::Inexpressible {
            library: "timm",
            reason: format!(
                "images are resized to fewer pixels than the {size} of the input; pass weights with other preprocessing"
            ),
        });
    }
    let mut pretrained = json!({
        "custom_load": false,
        "input_size": [model.in_channels, size, size],
        "fixed_input_size": false,
        "interpolation": preprocessing.interpolation.name(),
        "crop_pct": preprocessing
            .resize_size
            .map(|resized| fraction(size, resized))
            .or(preprocessing.crop_pct)
            .unwrap_or(1.0),
        "crop_mode": preprocessing.crop_mode.name(),
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "num_classes": model.num_classes,
        "pool_size": [size.div_ceil(32), size.div_ceil(32)],
        "first_conv": "conv_stem",
        "classifier": "classifier",
    });
    if let Some(pretrained) = pretrained.as_object_mut()
        && model.in_channels != 3
    {
        // Three values would not fit the channels.
        pretrained.remove("mean");
        pretrained.remove("std");
    }
    let (architecture, arguments) = architecture(model.variant, model.profile);
    let mut whole = json!({
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": config.head_channels(),
        "global_pool": "avg",
        "pretrained_cfg": pretrained,
    });
    if let Some(labels) = &model.labels {
        whole["label_names"] = json!(labels);
    }
    if arguments
        .as_object()
        .is_some_and(|arguments| !arguments.is_empty())
    {
        whole["model_args"] = arguments;
    }
    Ok(whole)
}

/// Returns the name of the architecture, and the arguments for constants that the name does not imply.
fn architecture(variant: Variant, profile: Profile) -> (String, Value) {
    let name = variant.timm_name();
    // timm trained these itself; of the other V2, it has ports only, or ports as well.
    let is_own = matches!(variant, Variant::V2RwT | Variant::V2RwS | Variant::V2RwM);
    let implied = match (variant.family(), profile) {
        _ if is_own => Profile::Timm,
        (Family::V2, _) => Profile::Tf,
        (_, Profile::Torchvision) => Profile::Timm,
        (_, profile) => profile,
    };
    let name = if implied == Profile::Tf {
        format!("tf_{name}")
    } else {
        name
    };
    let mut arguments = json!({});
    if implied.padding() != profile.padding() {
        let padding = match profile.padding() {
            Padding::Same | Padding::StaticSame => "same",
            Padding::Symmetric => "",
        };
        arguments["pad_type"] = json!(padding);
    }
    if implied.batch_norm_epsilon() != profile.batch_norm_epsilon() {
        arguments["bn_eps"] = json!(profile.batch_norm_epsilon());
    }
    (name, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_state_what_the_name_of_the_architecture_does_not() {
        for (variant, profile, name, arguments) in [
            (Variant::B3, Profile::Tf, "tf_efficientnet_b3", json!({})),
            (Variant::B3, Profile::Timm, "efficientnet_b3", json!({})),
            (
                Variant::B5,
                Profile::Torchvision,
                "efficientnet_b5",
                json!({"bn_eps": 1e-3}),
            ),
            (Variant::Lite0, Profile::Tf, "tf_efficientnet_lite0", json!({})),
            (Variant::V2S, Profile::Tf, "tf_efficientnetv2_s", json!({})),
            (
                Variant::V2S,
                Profile::Torchvision,
                "tf_efficientnetv2_s",
                json!({"pad_type": ""}),
            ),
            (Variant::V2RwT, Profile::Timm, "efficientnetv2_rw_t", json!({})),
        ] {
            assert_eq!(architecture(variant, profile), (name.to_owned(), arguments));
        }
    }
}
