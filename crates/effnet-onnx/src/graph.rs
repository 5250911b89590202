//! The messages of an ONNX graph: values, nodes and initializers.
//!
//! Field numbers and constants are those of `onnx.proto`. A value has the name of a layer, and the node that computes it
//! that name and its operator: `_conv_stem` and `_conv_stem/Conv`. ONNX would allow the same name for both, but RTen has one
//! name space for them.

use std::borrow::Cow;

use crate::protobuf::Message;

/// Earlier versions differ in the operators that the networks need.
pub(crate) const FIRST_OPSET: u32 = 13;
/// The latest version whose operators were tested.
pub(crate) const LAST_OPSET: u32 = 23;

/// The types of elements, with the numbers of `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    Float = 1,
    UInt8 = 2,
    Int64 = 7,
    Float16 = 10,
    Double = 11,
}

/// A dimension of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Fixed(usize),
    /// Any size; equal names mean equal sizes.
    Named(&'static str),
}

impl std::fmt::Display for Side {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(formatter, "{size}"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

/// The values of an initializer.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    /// Floats, each row multiplied by its factor in doubles and rounded once.
    Floats {
        values: Cow<'a, [f32]>,
        scale: Option<Cow<'a, [f64]>>,
        is_half: bool,
    },
    Doubles(Vec<f64>),
    Integers(Vec<i64>),
}

/// A constant tensor.
#[derive(Debug)]
pub(crate) struct Initializer<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<i64>,
    pub(crate) values: Values<'a>,
}

impl Initializer<'_> {
    fn element_type(&self) -> ElementType {
        match self.values {
            Values::Floats { is_half: true, .. } => ElementType::Float16,
            Values::Floats { is_half: false, .. } => ElementType::Float,
            Values::Doubles(_) => ElementType::Double,
            Values::Integers(_) => ElementType::Int64,
        }
    }

    /// The number of bytes of the values.
    pub(crate) fn len(&self) -> u64 {
        match &self.values {
            Values::Floats { values, is_half, .. } => values.len() as u64 * if *is_half { 2 } else { 4 },
            Values::Doubles(values) => values.len() as u64 * 8,
            Values::Integers(values) => values.len() as u64 * 8,
        }
    }

    /// The fields of a `TensorProto` before its values.
    pub(crate) fn description(&self) -> Message {
        Message::default()
            .ints(1, &self.shape)
            .int(2, self.element_type() as i64)
            .text(8, &self.name)
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attribute<'a> {
    Int(i64),
    Text(&'a str),
    Ints(&'a [i64]),
    Graph(&'a Message),
}

impl Attribute<'_> {
    /// An `AttributeProto`.
    fn message(&self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        match *self {
            Self::Int(value) => message.int(3, value).int(20, 2),
            Self::Text(value) => message.text(4, value).int(20, 3),
            Self::Ints(values) => message.ints(8, values).int(20, 7),
            Self::Graph(graph) => message.message(6, graph).int(20, 5),
        }
    }
}

/// A `GraphProto` in parts.
#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    nodes: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    pub(crate) initializers: Vec<Initializer<'a>>,
}

impl<'a> Graph<'a> {
    /// Adds an input of the graph.
    pub(crate) fn input(&mut self, name: &str, element_type: ElementType, shape: &[Side]) -> String {
        self.inputs.push(value_info(name, element_type, shape));
        name.to_owned()
    }

    /// Adds an output of the graph, which is the output of the node with this name.
    pub(crate) fn output(&mut self, name: &str, element_type: ElementType, shape: &[Side]) {
        self.outputs.push(value_info(name, element_type, shape));
    }

    /// Adds a node, and returns the name of its output. An input without a name is absent.
    pub(crate) fn node(
        &mut self,
        operator: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        let name = name.into();
        let message = inputs
            .iter()
            .fold(Message::default(), |message, input| message.text(1, input))
            .text(2, &name)
            .text(3, &format!("{name}/{operator}"))
            .text(4, operator)
            .messages(
                5,
                attributes.iter().map(|(name, attribute)| attribute.message(name)),
            );
        self.nodes.push(message);
        name
    }

    /// Adds an initializer, and returns its name.
    pub(crate) fn constant(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Values<'a>,
    ) -> String {
        let name = name.into();
        self.initializers.push(Initializer {
            name: name.clone(),
            shape: shape.iter().map(|&side| side as i64).collect(),
            values,
        });
        name
    }

    /// Adds a node without attributes.
    pub(crate) fn apply(&mut self, operator: &str, name: &str, inputs: &[&str]) -> String {
        self.node(operator, name, inputs, &[])
    }

    /// Adds a node with an axis.
    pub(crate) fn node_along(&mut self, operator: &str, name: &str, inputs: &[&str], axis: i64) -> String {
        self.node(operator, name, inputs, &[("axis", Attribute::Int(axis))])
    }

    /// Converts a value.
    pub(crate) fn cast(&mut self, name: &str, value: &str, to: ElementType) -> String {
        self.node("Cast", name, &[value], &[("to", Attribute::Int(to as i64))])
    }

    /// Transposes a value.
    pub(crate) fn permuted(&mut self, name: &str, value: &str, order: &[i64]) -> String {
        self.node("Transpose", name, &[value], &[("perm", Attribute::Ints(order))])
    }

    /// Adds an initializer with floats of 32 or 16 bits.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: Vec<f32>, is_half: bool) -> String {
        let values = Values::Floats {
            values: values.into(),
            scale: None,
            is_half,
        };
        self.constant(name, shape, values)
    }

    /// Adds a scalar.
    pub(crate) fn float(&mut self, name: &str, value: f32) -> String {
        self.floats(name, &[], vec![value], false)
    }

    /// Adds a scalar.
    pub(crate) fn double(&mut self, name: &str, value: f64) -> String {
        self.constant(name, &[], Values::Doubles(vec![value]))
    }

    /// Adds a scalar.
    pub(crate) fn integer(&mut self, name: &str, value: i64) -> String {
        self.constant(name, &[], Values::Integers(vec![value]))
    }

    /// Adds a list of integers.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        self.constant(name, &[values.len()], Values::Integers(values.to_vec()))
    }

    /// All fields but the initializers.
    pub(crate) fn description(&self, name: &str) -> Message {
        Message::default()
            .messages(1, self.nodes.iter().cloned())
            .text(2, name)
            .messages(11, self.inputs.iter().cloned())
            .messages(12, self.outputs.iter().cloned())
    }
}

/// A `ValueInfoProto`.
fn value_info(name: &str, element_type: ElementType, shape: &[Side]) -> Message {
    let sides = shape.iter().map(|side| match side {
        Side::Fixed(size) => Message::default().int(1, *size as i64),
        Side::Named(name) => Message::default().text(2, name),
    });
    let shape = Message::default().messages(1, sides);
    let tensor = Message::default().int(1, element_type as i64).message(2, &shape);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}
