terraform {
  # 1.9: templatestring(), and validations that refer to locals.
  required_version = ">= 1.9.0, < 2.0.0"

  required_providers {
    yandex = {
      source  = "yandex-cloud/yandex"
      version = "~> 0.222.0" # the version that provider-arguments.json was drawn from
    }
  }
}

# Credentials come from the environment (YC_TOKEN or YC_SERVICE_ACCOUNT_KEY_FILE), never from a file here.
provider "yandex" {
  folder_id = var.folder_id
}
