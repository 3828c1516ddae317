resource "yandex_api_gateway" "this" {
  count = local.has_gateway ? 1 : 0
  name  = var.name
  spec  = local.gateway_spec

  log_options {
    log_group_id = yandex_logging_group.this.id
    min_level    = var.min_log_level
  }

  depends_on = [yandex_function_iam_binding.invokers]
}
