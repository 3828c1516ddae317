# openapi.yaml without what belongs to functions that are not enabled. An operation stays only when every function that
# it names (by id or by operationId) is enabled and, if it asks for a credential, an authorizer that checks it is too:
# leaving an authorizer out must never leave an operation open. Schemes that name no authorizer document what a function
# checks itself: the gateway gets none of them, for it could check nothing. The file's references to functions are still
# placeholders while it is filtered, so that the plan knows what stays before any function has an id.
locals {
  openapi_file = yamldecode(file("${path.module}/openapi.yaml"))
  # Two paths that come to be the same stop the plan.
  openapi = merge(local.openapi_file, {
    paths = { for path, item in local.openapi_file.paths : replace(path, "/^\\/blitz\\//", "${var.context_prefix}/") => item }
  })
  function_id_regex = "\\$\\{functions\\.([A-Za-z0-9_-]+)\\}"
  operation_keys    = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "x-yc-apigateway-any-method"]

  documented_schemes = [
    for name, scheme in try(local.openapi.components.securitySchemes, {}) : name
    if !contains(keys(scheme), "x-yc-apigateway-authorizer")
  ]
  security_schemes = {
    for name, scheme in try(local.openapi.components.securitySchemes, {}) : name => scheme
    if !contains(local.documented_schemes, name) && alltrue([for function in flatten(regexall(local.function_id_regex, jsonencode(scheme))) : contains(local.enabled, function)])
  }

  # What each operation asks the gateway for, and the alternatives of it that this deployment can check. With an alternative
  # that asks for nothing it asks for nothing.
  asked_security = {
    for path, item in local.openapi.paths : path => {
      for key, operation in item : key => [
        for schemes in try(operation.security, local.openapi.security, []) : { for name, scopes in schemes : name => scopes if !contains(local.documented_schemes, name) }
      ] if contains(local.operation_keys, key)
    }
  }
  declared_security = {
    for path, operations in local.asked_security : path => {
      for key, alternatives in operations : key => [
        for schemes in alternatives : schemes if alltrue([for others in alternatives : length(others) > 0])
      ]
    }
  }
  kept_security = {
    for path, operations in local.declared_security : path => {
      for key, alternatives in operations : key => [
        for schemes in alternatives : schemes if alltrue([for name in keys(schemes) : contains(keys(local.security_schemes), name)])
      ]
    }
  }

  operations = {
    for path, item in local.openapi.paths : path => {
      for key, operation in item : key => merge(operation, { security = local.kept_security[path][key] })
      if contains(local.operation_keys, key)
      && try(length(local.kept_security[path][key]) > 0 || length(local.declared_security[path][key]) == 0, false)
      && !contains(setsubtract(keys(local.rows), local.enabled), split(".", try(operation.operationId, ""))[0])
      && alltrue([for function in flatten(regexall(local.function_id_regex, jsonencode(operation))) : contains(local.enabled, function)])
    }
  }
  paths = {
    for path, item in local.openapi.paths : path => merge(
      { for key, value in item : key => value if !contains(local.operation_keys, key) },
      local.operations[path],
    )
    if length(local.operations[path]) > 0
  }

  # Every operation now carries its own `security`, so the one at the top goes.
  gateway_spec_template = jsonencode(merge(
    { for key, value in local.openapi : key => value if key != "security" },
    {
      paths      = local.paths
      components = merge(try(local.openapi.components, {}), { securitySchemes = local.security_schemes })
    },
  ))

  has_gateway       = length(local.paths) > 0
  gateway_functions = distinct(flatten(regexall(local.function_id_regex, local.gateway_spec_template)))
  # A reference that outlived the filter has no id here and stops the plan.
  gateway_spec = templatestring(local.gateway_spec_template, {
    functions               = local.function_ids
    gateway_service_account = local.gateway_account
  })
}
