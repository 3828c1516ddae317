/** What a driver must know of where it runs. */
export interface Platform {
  /** Whether this is an instance in the cloud, where memory and disk are lost with the instance. */
  readonly isDeployed: boolean;
  /** The IAM token of the latest call; undefined where the function has no service account. A secret: never logged. */
  readonly iamToken: () => string | undefined;
  /** The variables that the providers' rows name, by their names: their secrets. An empty one counts as absent. */
  readonly secrets: Readonly<Record<string, unknown>>;
  /** Tells an operator of a loss that the settings accept. */
  readonly warn: (sentence: string) => void;
}

/** No cloud: a test, an operator's command. */
export const LOCAL_PLATFORM: Platform = {
  isDeployed: false,
  iamToken: () => undefined,
  secrets: {},
  warn: (sentence) => process.emitWarning(sentence),
};
