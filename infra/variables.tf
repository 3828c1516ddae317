variable "folder_id" {
  description = "Id of the cloud folder that everything is made in."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]+$", var.folder_id))
    error_message = "folder_id must be the id of a folder, not its name."
  }
}

variable "name" {
  description = "Prefix of every name, so that a folder can hold several deployments."
  type        = string
  default     = "unlink"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 30 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "profiles" {
  description = "Protocols to deploy the functions of, by the `profiles` of the rows of functions.yaml: smart-home, matrix, shop, identity."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.profiles, local.profile_names)) == 0
    error_message = "profiles must name nothing but ${join(", ", local.profile_names)}."
  }
}

variable "enabled_functions" {
  description = "Names of rows of functions.yaml to deploy besides those of the profiles."
  type        = set(string)
  default     = []
  nullable    = false

  # Nothing is deployed that was not asked for: all rows together are more than the 10 functions that a cloud has a quota for.
  validation {
    condition     = length(var.profiles) + length(var.enabled_functions) > 0
    error_message = "Nothing is named to deploy. Name a profile (${join(", ", local.profile_names)}), or single functions in enabled_functions."
  }

  validation {
    condition     = length(setsubtract(var.enabled_functions, keys(local.rows))) == 0
    error_message = "enabled_functions must name rows of functions.yaml, and nothing else: ${join(", ", keys(local.rows))}."
  }
}

variable "public_functions" {
  description = "Names of functions that anybody may call at their URL, without an IAM token: see docs/calls.md. Not set: smart-home-unlink, where it is deployed (`public` in functions.yaml). Empty: none."
  type        = set(string)
  default     = null

  validation {
    condition     = length(setsubtract(coalesce(var.public_functions, []), keys(local.rows))) == 0
    error_message = "public_functions must name rows of functions.yaml (${join(", ", keys(local.rows))}), not ${join(", ", setsubtract(coalesce(var.public_functions, []), keys(local.rows)))}."
  }

  validation {
    condition     = length(setsubtract(setintersection(coalesce(var.public_functions, []), keys(local.rows)), local.enabled)) == 0
    error_message = "public_functions must name functions that are deployed (${join(", ", local.enabled)}), not ${join(", ", setsubtract(setintersection(coalesce(var.public_functions, []), keys(local.rows)), local.enabled))}. profiles and enabled_functions say what is deployed."
  }

  validation {
    condition     = alltrue([for name in coalesce(var.public_functions, []) : try(local.rows[name].timer, null) == null])
    error_message = "public_functions must not name ${join(", ", [for name in coalesce(var.public_functions, []) : name if try(local.rows[name].timer, null) != null])}: it asks for no credential and runs its work at each call, so that only its timer may call it. Its answer tells a caller nothing."
  }

  validation {
    condition     = length(setintersection(coalesce(var.public_functions, []), local.authorizers)) == 0
    error_message = "public_functions must not name ${join(", ", setintersection(coalesce(var.public_functions, []), local.authorizers))}: it answers the API gateway alone. It asks its caller for no credential, so that anybody could ask it whether a token is valid. Name token-introspect, which only answers the clients in CLIENTS."
  }
}

variable "environment" {
  description = "Values of the names that the enabled rows of functions.yaml list under `variables`. Each function gets only its own; a name without a value is not set."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.environment), local.variable_names)) == 0
    error_message = "No row of functions.yaml lists these under `variables`: ${join(", ", setsubtract(keys(var.environment), local.variable_names))}. Names under `secrets` are given by the variable secrets."
  }

  validation {
    condition     = alltrue([for value in values(var.environment) : !can(regex("://[^/?#]*:[^/?#]*@", value))])
    error_message = "A value holds a URL with a password. Put it in Lockbox and name it in the variable secrets."
  }

  validation {
    condition     = alltrue([for value in values(var.environment) : !can(regex("\"((client_)?secret|authorization)\"", value))])
    error_message = "A value holds a client's or an issuer's secret. Put it in Lockbox and name it in the variable secrets."
  }
}

variable "secrets" {
  description = "Where Lockbox keeps the values of the names under `secrets`, and of those under `variables` that must not be seen (a store URL with a password). Ids only: no secret value passes through Terraform. `bytes` is the most that the value may take, for the platform's limit of 4 KB."
  type = map(object({
    id         = string
    version_id = string
    key        = string
    bytes      = optional(number, 256)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(local.secret_names, keys(var.secrets))) == 0
    error_message = "The enabled functions need these in Lockbox, named by the variable secrets: ${join(", ", setsubtract(local.secret_names, keys(var.secrets)))}."
  }

  validation {
    condition     = !contains(keys(var.secrets), "PROVIDERS")
    error_message = "PROVIDERS names the variables of secrets and holds none: give it in environment, where Terraform can read those names."
  }

  validation {
    condition     = length(setsubtract(keys(var.secrets), concat(local.all_secret_names, local.variable_names))) == 0
    error_message = "No row of functions.yaml lists these: ${join(", ", setsubtract(keys(var.secrets), concat(local.all_secret_names, local.variable_names)))}."
  }
}

variable "context_prefix" {
  description = "What the paths of openapi.yaml that begin with /blitz begin with instead: your callers' context path of the Blitz API. Empty for none."
  type        = string
  default     = "/blitz"
  nullable    = false

  validation {
    condition     = can(regex("^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$", var.context_prefix))
    error_message = "context_prefix must be empty, or one or more segments of letters, digits, -, _, . and ~, each after a slash, as /blitz."
  }
}

variable "ydb_store" {
  description = "Make a serverless YDB database and let the functions use it. When false, STORE_URL in environment or secrets names the store."
  type        = bool
  default     = true
  nullable    = false
}

variable "network_id" {
  description = "Network that functions with a store are attached to, for a managed PostgreSQL or Valkey that is reached from inside only. It needs a subnet in each zone. None: the platform's own, with public addresses only."
  type        = string
  default     = null

  validation {
    condition     = var.network_id == null ? true : can(regex("^[a-z0-9]+$", var.network_id))
    error_message = "network_id must be the id of a network, not its name."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy the database; without it every revocation can be lost by one command."
  type        = bool
  default     = true
  nullable    = false
}

variable "min_log_level" {
  description = "The least level that the functions and the gateway log."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"], var.min_log_level)
    error_message = "min_log_level must be TRACE, DEBUG, INFO, WARN, ERROR or FATAL."
  }
}

variable "log_retention_hours" {
  description = "How long log lines are kept, in hours."
  type        = number
  default     = 168
  nullable    = false

  validation {
    condition     = var.log_retention_hours >= 1 && floor(var.log_retention_hours) == var.log_retention_hours
    error_message = "log_retention_hours must be a whole number of hours, at least 1."
  }
}
