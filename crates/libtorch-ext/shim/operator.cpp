// Calls operators by name, through libtorch's dispatcher.

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include "api.h"
#include "torch_boundary.h"

static c10::IValue to_ivalue(const effnet_value& value) {
    switch (value.kind) {
    case value_tensor: return **value.tensors;
    case value_tensors: {
        c10::List<at::Tensor> list;
        list.reserve(value.count);
        for (size_t i = 0; i < value.count; ++i) list.push_back(*value.tensors[i]);
        return list;
    }
    case value_float: return value.number;
    case value_int: return value.integer;
    case value_bool: return value.integer != 0;
    case value_none: break;
    }
    return c10::IValue();
}

extern "C" {

effnet_result effnet_call(const char* name, const char* overload, const effnet_value* values, size_t count,
                          effnet_take take, void* context) noexcept {
    return torch_guarded([&] {
        const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
        torch::jit::Stack stack;
        for (size_t i = 0; i < count; ++i) stack.push_back(to_ivalue(values[i]));
        op.schema().checkAndNormalizeInputs(stack);
        op.callBoxed(stack);
        for (const c10::IValue& result : stack) {
            if (result.isTensor()) {
                take(context, new at::Tensor(result.toTensor()));
            } else if (result.isTensorList()) {
                for (const at::Tensor& tensor : result.toTensorVector()) take(context, new at::Tensor(tensor));
            }
        }
    });
}

effnet_result effnet_clear_gradients(const at::Tensor* const* tensors, size_t count) noexcept {
    return torch_guarded([&] {
        for (size_t i = 0; i < count; ++i)
            if (tensors[i]->grad().defined()) tensors[i]->mutable_grad() = at::Tensor();
    });
}

} // extern "C"
