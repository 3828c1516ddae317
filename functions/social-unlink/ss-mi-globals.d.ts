/** What `ss_mi.js` adds to a page. */
declare namespace ss_mi {
  /**
   * Unlinks the social login of the user with that e-mail address. The answer goes to the page's function
   * `ssmi_user_unlink_success` or `ssmi_user_unlink_failure`, if there is one when it arrives, and to the promise,
   * which is never rejected.
   */
  function ssmi_unlink_user(email: string): Promise<Unlinked | Failure>;

  interface Unlinked {
    /** False when there is no such user. */
    is_unlinked: boolean;
    /** Whether the network has confirmed that the app's permissions are revoked. */
    is_permissions_revoked: boolean;
  }

  interface Failure {
    error: true;
    /** `Email address missing`, `Processing Eroor` (so spelled), or what the endpoint says. */
    reason: string;
  }

  /** What `_ssq.push(['init', settings])` takes; a later one changes what it names. */
  interface Settings {
    /** The URL of the endpoint. Default: `/social/unlink` where the script is loaded from. */
    endpoint?: string;
    /** The signed-in user's access token, or a function that is asked for it at each call. */
    token?: string | (() => string | Promise<string>);
    /** The network to unlink, such as `google`. Default: the one that the user is signed in with. */
    network?: string;
    /** When an answer counts as lost, in milliseconds. Default: 30,000. */
    timeout_ms?: number;
  }

  /** What the queue takes, before the script is loaded and after. */
  type Command = ['init', Settings] | ['ssmi_unlink_user', string];
}

interface Window {
  _ssq?: { push(...commands: ss_mi.Command[]): unknown };
  ssmi_user_unlink_success?: (response: ss_mi.Unlinked) => void;
  ssmi_user_unlink_failure?: (response: ss_mi.Failure) => void;
}
