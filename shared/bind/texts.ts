import type { BindErrorCode } from './bind.ts';
import type { BindResult } from './continue-bind.ts';

/** The languages of our pages. */
export type Language = 'en' | 'ru';

/** What a page says that has nothing else. None says what it does not know: whether the account is linked. */
export interface Message {
  readonly title: string;
  readonly text: string;
}

/** The texts of our pages. */
interface Texts {
  readonly consentTitle: (provider: string) => string;
  /** @param application HTML */
  readonly consentAsk: (application: string) => string;
  readonly consentAccount: (provider: string) => string;
  readonly consentSubject: string;
  readonly consentButton: string;
  readonly declineButton: string;
  readonly declineHint: string;
  readonly lost: Readonly<Partial<Record<BindErrorCode, Message>>>;
  readonly lostOtherwise: Message;
  readonly failure: Message;
  readonly popup: Readonly<Record<BindResult['status'], string>>;
  readonly popupLink: string;
}

export const TEXTS: Readonly<Record<Language, Texts>> = {
  en: {
    consentTitle: (provider) => `Link your ${provider} account?`,
    consentAsk: (application) => `${application} asks to link these two accounts:`,
    consentAccount: (provider) => `Account at ${provider}`,
    consentSubject: 'Your account here',
    consentButton: 'Link the accounts',
    declineButton: 'Do not link',
    declineHint: 'If you did not ask for this, or one of the accounts is not yours, do not link them.',
    lost: {
      state_used: {
        title: 'This page works only once',
        text: 'It was already used or reloaded. Return to the application to see whether the account is linked. If it is not, start again.',
      },
      state_expired: {
        title: 'This page has expired',
        text: 'It linked nothing. Return to the application and start again.',
      },
    },
    lostOtherwise: {
      title: 'This page cannot continue',
      text: 'It was used or expired long ago, or it was opened by a wrong address. Return to the application to see whether the account is linked. If it is not, start again.',
    },
    failure: {
      title: 'Something failed on our side',
      text: 'Return to the application to see whether the account is linked. If it is not, start again.',
    },
    popup: {
      success: 'The account is linked',
      confirm: 'One step is left',
      cancelled: 'Nothing was linked',
      error: 'The account was not linked',
    },
    popupLink: 'Back to the application',
  },
  ru: {
    consentTitle: (provider) => `Привязать учётную запись ${provider}?`,
    consentAsk: (application) => `${application} просит связать две учётные записи:`,
    consentAccount: (provider) => `Учётная запись ${provider}`,
    consentSubject: 'Ваша учётная запись здесь',
    consentButton: 'Связать учётные записи',
    declineButton: 'Не связывать',
    declineHint: 'Если вы об этом не просили или одна из учётных записей не ваша, не связывайте их.',
    lost: {
      state_used: {
        title: 'Эта страница открывается только один раз',
        text: 'Она уже использована или обновлена. Вернитесь в приложение и проверьте, привязана ли учётная запись. Если нет, начните сначала.',
      },
      state_expired: {
        title: 'Срок действия этой страницы истёк',
        text: 'Она ничего не привязала. Вернитесь в приложение и начните сначала.',
      },
    },
    lostOtherwise: {
      title: 'Эту страницу нельзя продолжить',
      text: 'Она давно использована или истекла, либо открыта по неверному адресу. Вернитесь в приложение и проверьте, привязана ли учётная запись. Если нет, начните сначала.',
    },
    failure: {
      title: 'Произошла ошибка на нашей стороне',
      text: 'Вернитесь в приложение и проверьте, привязана ли учётная запись. Если нет, начните сначала.',
    },
    popup: {
      success: 'Учётная запись привязана',
      confirm: 'Остался один шаг',
      cancelled: 'Ничего не привязано',
      error: 'Учётная запись не привязана',
    },
    popupLink: 'Вернуться в приложение',
  },
};

/** The language of ours that a reader likes best (RFC 9110, section 12.5.4); English if none. */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  const ranges = (acceptLanguage ?? '')
    .slice(0, 1000)
    .split(',')
    .map((range) => {
      const [tag = '', weight = ''] = range.trim().toLowerCase().split(';', 2);
      const quality = /^\s*q=([01](\.\d{0,3})?)\s*$/.exec(weight)?.[1];
      return { language: tag.split('-')[0], quality: quality === undefined ? 1 : Number(quality) };
    })
    .filter(({ quality }) => quality > 0)
    .sort((one, other) => other.quality - one.quality);
  const found = ranges.find(({ language }) => language === 'en' || language === 'ru');
  return found?.language === 'ru' ? 'ru' : 'en';
}
