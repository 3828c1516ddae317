# What functions.yaml says, for the functions that this deployment enables. No resource is read here but through
# local.function_ids, local.gateway_account, local.trigger_account and local.ydb_store_url.
locals {
  document = yamldecode(file("${path.module}/functions.yaml"))

  # Every row in one shape, the defaults filled in. `local` is the emulator's and is not read.
  rows = {
    for name, row in local.document.functions : name => {
      description = try(row.description, "")
      runtime     = try(row.runtime, local.document.defaults.runtime)
      memory      = try(row.memory, local.document.defaults.memory)
      timeout     = try(row.timeout, local.document.defaults.timeout)
      concurrency = try(row.concurrency, local.document.defaults.concurrency)
      public      = try(row.public, false)
      profiles    = try(row.profiles, [])
      environment = { for key, value in try(row.environment, {}) : key => tostring(value) }
      variables   = try(row.variables, [])
      secrets     = try(row.secrets, [])
      timer       = try(row.timer, null)
    }
  }

  variable_names = distinct(flatten([for row in local.rows : row.variables]))

  # PROVIDERS, or else providers.json in the bundles, names the variables of the providers' secrets: whoever reads the
  # one is given the others.
  providers_json        = try(var.environment.PROVIDERS, file("${path.module}/../providers.json"))
  provider_secret_names = distinct(flatten(regexall("\"client_secret_env\"\\s*:\\s*\"([A-Z][A-Z0-9_]*)\"", local.providers_json)))
  all_secret_names      = distinct(concat(flatten([for row in local.rows : row.secrets]), local.provider_secret_names))

  # Those of the profiles, and those named besides.
  profile_names = sort(distinct(flatten([for row in local.rows : row.profiles])))
  enabled = setunion(
    [for name, row in local.rows : name if length(setintersection(row.profiles, var.profiles)) > 0],
    var.enabled_functions,
  )
  functions = {
    for name, row in local.rows : name => merge(row, {
      secrets = concat(row.secrets, contains(row.variables, "PROVIDERS") ? local.provider_secret_names : [])
    }) if contains(local.enabled, name)
  }
  timers       = { for name, row in local.functions : name => row.timer if row.timer != null }
  secret_names = distinct(flatten([for row in local.functions : row.secrets]))

  # Names of each function's variables whose values come from Lockbox.
  function_secrets = {
    for name, row in local.functions : name => setunion(row.secrets, setintersection(row.variables, keys(var.secrets)))
  }

  # Names and values of each function's other variables.
  given = merge(
    { for name in var.ydb_store ? ["STORE_URL"] : [] : name => local.ydb_store_url },
    # An empty value would count as absent.
    { CONTEXT_PREFIX = var.context_prefix == "" ? "/" : var.context_prefix },
    var.environment,
  )
  environment = {
    for name, row in local.functions : name => merge(
      row.environment,
      { for key in row.variables : key => local.given[key] if contains(keys(local.given), key) && !contains(local.function_secrets[name], key) },
    )
  }

  # The platform allows 4 KB together for names, values and secrets. base64encode() counts bytes where length() counts
  # characters; it may count two too many.
  environment_bytes = {
    for name, environment in local.environment : name => sum(concat(
      [0],
      [for key, value in environment : length(key) + floor(length(base64encode(value)) * 3 / 4)],
      [for key in local.function_secrets[name] : length(key) + var.secrets[key].bytes],
    ))
  }

  # Functions that use a store: those get the YDB database when there is one, and the network when there is one.
  store_functions = [
    for name, row in local.functions : name
    if length(setintersection(row.variables, ["STORE_URL", "REVOCATION_STORE_URL", "DIRECTORY_URL"])) > 0
  ]

  # What anybody may call. An authorizer and a timer's function must not be among it: variables.tf says why.
  public_functions = (
    var.public_functions == null ? toset([for name, row in local.functions : name if row.public]) : var.public_functions
  )
  authorizers = distinct(flatten(regexall(local.function_id_regex, jsonencode(try(local.openapi_file.components.securitySchemes, {})))))

  # Who may call each function: anybody, for the public ones only; the gateway; the trigger.
  invokers = {
    for name, row in local.functions : name => concat(
      contains(local.public_functions, name) ? ["system:allUsers"] : [],
      contains(local.gateway_functions, name) ? ["serviceAccount:${local.gateway_account}"] : [],
      row.timer != null ? ["serviceAccount:${local.trigger_account}"] : [],
    )
  }
}

# A warning, not an error: a quota can have been raised.
check "quota" {
  assert {
    condition     = length(local.functions) <= 10
    error_message = "${length(local.functions)} functions are more than the 10 that a cloud has a quota for unless raised: the apply fails at the eleventh."
  }
}
