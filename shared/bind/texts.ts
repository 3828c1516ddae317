import type { BindErrorCode } from './bind.ts';
import type { BindResult } from './continue-bind.ts';

/** The languages of our pages. */
export type Language = 'en' | 'ru';

/** The texts of our pages. */
interface Texts {
  readonly consentTitle: (provider: string) => string;
  /** @param application HTML */
  readonly consentAsk: (application: string) => string;
  readonly consentAccount: (provider: string) => string;
  readonly consentSubject: string;
  readonly consentButton: string;
  readonly consentDecline: string;
  readonly messageTitle: string;
  /** In place of it where the account may well be linked: the step was done before. */
  readonly usedTitle: string;
  readonly lost: Readonly<Partial<Record<BindErrorCode, string>>>;
  readonly lostOtherwise: string;
  readonly failure: string;
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
    consentDecline:
      'If you did not ask for this, or one of the accounts is not yours, close this page: nothing is linked.',
    messageTitle: 'The account was not linked',
    usedTitle: 'There is nothing left to do here',
    lost: {
      state_used: 'This step was done before. Go back to the application and look whether the account is linked.',
      state_expired: 'This took too long. Go back to the application and start again.',
    },
    lostOtherwise: 'This page was opened with nothing to go on with. Go back to the application and start again.',
    failure: 'Something on our side failed. Go back to the application and start again.',
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
    consentDecline:
      'Если вы об этом не просили или одна из учётных записей не ваша, закройте страницу: ничего не будет связано.',
    messageTitle: 'Учётная запись не привязана',
    usedTitle: 'Здесь больше нечего делать',
    lost: {
      state_used: 'Этот шаг уже выполнен. Вернитесь в приложение и проверьте, привязана ли учётная запись.',
      state_expired: 'Прошло слишком много времени. Вернитесь в приложение и начните сначала.',
    },
    lostOtherwise: 'Эта страница открыта вне привязки. Вернитесь в приложение и начните сначала.',
    failure: 'Произошла ошибка на нашей стороне. Вернитесь в приложение и начните сначала.',
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
