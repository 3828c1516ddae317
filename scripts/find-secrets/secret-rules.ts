import { creator as recommended } from '@secretlint/secretlint-rule-preset-recommend';
import type { SecretLintCoreConfig, SecretLintRuleCreator } from '@secretlint/types';

/** What the recommended rules pass over, and this project is deployed with. */
const DEPLOYED_SECRETS: Readonly<Record<string, RegExp>> = {
  // The recommended rule wants 100 characters of Base64; an Ed25519 key has 64.
  'short private key': /-----BEGIN PRIVATE KEY-----(\s|\\n)*[A-Za-z0-9+/]{40,99}={0,2}(\s|\\n)*-----END/g,
  'private JSON Web Key': /"d"\s*:\s*"[A-Za-z0-9_-]{43,}"/g,
  'signing key of a Matrix server': /^ed25519 [A-Za-z0-9_]+ [A-Za-z0-9+/]{43}$/gm,
  // By the expressions that Yandex publishes ("Scanning for Yandex Cloud secrets in public sources").
  'IAM cookie of Yandex Cloud': /\bc1\.[A-Z0-9a-z_-]+={0,2}\.[A-Z0-9a-z_-]{86}={0,2}/g,
  'IAM token of Yandex Cloud': /\bt1\.[A-Z0-9a-z_-]+={0,2}\.[A-Z0-9a-z_-]{86}={0,2}/g,
  'API key of Yandex Cloud': /\bAQVN[A-Za-z0-9_-]{35,38}/g,
  'static access key of Yandex Cloud': /\bYC[a-zA-Z0-9_-]{38}(?![a-zA-Z0-9_-])/g,
  'OAuth token of Yandex Cloud': /\by[0-6]_[-_A-Za-z0-9]{55,199}/g,
  'SmartCaptcha server key of Yandex Cloud': /\bysc2_[a-zA-Z0-9]{40}[0-9a-f]{8}/g,
  'refresh token of Yandex Cloud': /\brt1\.[A-Z0-9a-z_-]+={0,2}\.[A-Z0-9a-z_-]{86}={0,2}/g,
  'secret of an OIDC application of Yandex Cloud': /\byccs__[0-9a-f]{64}_[0-9a-f]{8}/g,
};

const deployedSecrets: SecretLintRuleCreator = {
  // One each, because what a message is given to fill in is masked with the secret.
  messages: Object.fromEntries(Object.keys(DEPLOYED_SECRETS).map((kind) => [kind, { en: () => `found ${kind}` }])),
  meta: { id: 'deployed-secrets', type: 'scanner', recommended: true, supportedContentTypes: ['text'] },
  create(context) {
    const translate = context.createTranslator(this.messages);
    return {
      file({ content }) {
        for (const [kind, expression] of Object.entries(DEPLOYED_SECRETS)) {
          for (const { index, 0: found } of content.matchAll(expression)) {
            context.report({ message: translate(kind), range: [index, index + found.length] });
          }
        }
      },
    };
  },
};

/** What counts as a secret: secretlint's recommended rules, and what this project is deployed with. */
export const SECRET_RULES: SecretLintCoreConfig = {
  rules: [
    { id: '@secretlint/secretlint-rule-preset-recommend', rule: recommended },
    { id: deployedSecrets.meta.id, rule: deployedSecrets },
  ],
};

/** What looks like a secret and is none. */
export interface AllowedValue {
  readonly path: RegExp;
  /** Of the whole value that a rule reports. */
  readonly value: RegExp;
  readonly reason: string;
}

/** As narrow as can be: where, what, and why it is no secret. */
export const ALLOWED_VALUES: readonly AllowedValue[] = [
  {
    path: /^test\//,
    value: /^(postgres|mysql):\/\/[a-z]+:(canary|obviously-fake)@/,
    reason: 'passwords that tests look for in what is printed; no such server exists',
  },
  {
    path: /^test\/shared\/databases\/store-url\.test\.ts$/,
    value: /^postgres:\/\/(us%40er:p%2F%23@h:5433\/|u:secret%zz@h\/)/,
    reason: 'how a password is spelled in a URL; no such server exists',
  },
];
