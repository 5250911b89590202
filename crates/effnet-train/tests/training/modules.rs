//! Networks of tch modules, without training.

use std::sync::Arc;

use effnet_train::{Ema, EmaOptions, Error, Freeze, LayerRates, Network, ParamGroupOptions, TchNetwork};
use tch::nn::ModuleT;
use tch::{Device, Kind, Tensor, nn};

use crate::turn;

type Modules = TchNetwork<nn::SequentialT, nn::Linear>;

/// Two convolutions, of which the second has a table that is not trained.
fn modules() -> Modules {
    let network = TchNetwork::new(Device::Cpu, |root| {
        let body = root / "body";
        let table = (&body / 1).zeros_no_train("table", &[1, 4, 1, 1]);
        let body = nn::seq_t()
            .add(nn::conv2d(&body / 0 / "conv", 3, 4, 3, nn::ConvConfig::default()))
            .add(nn::batch_norm2d(
                &body / 0 / "norm",
                4,
                nn::BatchNormConfig::default(),
            ))
            .add(nn::conv2d(&body / 1 / "conv", 4, 4, 3, nn::ConvConfig::default()))
            .add_fn(move |x| (x + &table).adaptive_avg_pool2d([1, 1]).flatten(1, -1));
        Ok((body, nn::linear(root / "head", 4, 2, nn::LinearConfig::default())))
    });
    network.unwrap().with_layers(["body.0", "body.1"])
}

#[test]
fn variables_belong_to_the_layer_of_the_longest_path() {
    let network = modules();
    let names: Vec<(&str, usize)> = network
        .named_tensors()
        .map(|(name, _)| (name, network.layer_of(name)))
        .collect();
    assert_eq!(
        names,
        [
            ("body.0.conv.bias", 0),
            ("body.0.conv.weight", 0),
            ("body.0.norm.bias", 0),
            ("body.0.norm.running_mean", 0),
            ("body.0.norm.running_var", 0),
            ("body.0.norm.weight", 0),
            ("body.1.conv.bias", 1),
            ("body.1.conv.weight", 1),
            ("body.1.table", 1),
            ("head.bias", 2),
            ("head.weight", 2),
        ]
    );
    assert_eq!(network.layer_of("body.10.weight"), 0, "not below body.1");
}

#[test]
fn groups_follow_layers_and_spare_buffers_and_norms() {
    let _turn = turn();
    let network = modules();
    let groups = |freeze| {
        let options = ParamGroupOptions::default()
            .with_rates(LayerRates::Decay(0.5))
            .with_freeze(freeze);
        let groups = options.apply(&network).unwrap();
        let row = |group: effnet_train::ParameterGroup| {
            let names: Vec<String> = group.parameters.into_iter().map(|(name, _)| name).collect();
            (group.name, group.rate_scale, names.join(" "))
        };
        groups.into_iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, rate: f64, names: &str| (name.to_owned(), rate, names.to_owned());
    let head = [
        row("head, no decay", 1.0, "head.bias"),
        row("head", 1.0, "head.weight"),
    ];
    let [bias, weight] = head.clone();
    assert_eq!(
        groups(Freeze::Nothing),
        [
            row(
                "body.0, no decay",
                0.25,
                "body.0.conv.bias body.0.norm.bias body.0.norm.weight"
            ),
            row("body.0", 0.25, "body.0.conv.weight"),
            row("body.1, no decay", 0.5, "body.1.conv.bias"),
            row("body.1", 0.5, "body.1.conv.weight"),
            bias,
            weight,
        ]
    );
    assert_eq!(groups(Freeze::Features), head);
    let norms = row("body.0, no decay", 0.25, "body.0.norm.bias body.0.norm.weight");
    assert_eq!(groups(Freeze::Convolutions), [&[norms][..], &head[..]].concat());
}

#[test]
fn a_copy_computes_the_same_and_changes_alone() {
    let _turn = turn();
    tch::manual_seed(1);
    let network = modules();
    let images = Tensor::randn([2, 3, 12, 12], (Kind::Float, Device::Cpu));
    let copy = network.duplicate().unwrap();
    let outputs = |network: &Modules| tch::no_grad(|| network.outputs(&images, false)).unwrap();
    assert!(outputs(&network).equal(&outputs(&copy)));
    let expected = network
        .head_module()
        .forward_t(&network.body().forward_t(&images, false), false);
    assert!(outputs(&network).equal(&expected));
    let (_, weight) = copy.named_tensors().last().unwrap();
    let _ = tch::no_grad(|| weight.shallow_clone().zero_());
    assert!(!outputs(&network).equal(&outputs(&copy)));

    let mut average = Ema::new(&network, EmaOptions::default().with_warmup(false)).unwrap();
    average.update().unwrap();
    assert!(outputs(average.network()).equal(&outputs(&network)));
}

#[test]
fn a_group_for_batch_normalisation_is_refused_rather_than_ignored() {
    #[derive(Debug)]
    struct Group;
    impl libtorch_ext::training::BatchNormGroup for Group {
        fn sum(&self, _: &Tensor) -> Result<(), libtorch_ext::Error> {
            Ok(())
        }
    }
    let mut network = modules();
    network.set_batch_norm_group(None).unwrap();
    let error = network.set_batch_norm_group(Some(Arc::new(Group))).unwrap_err();
    assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
}
